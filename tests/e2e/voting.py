"""A small application that many know: people vote for pictures. Its server writes every vote to its log."""

from collections.abc import Mapping
from typing import Any

from isthmus import names

DOUGHNUT = "/api/vote?choice=:doughnut:"
SERVER = """\
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json, os

class Votes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"pod": os.environ["HOSTNAME"], "client": self.headers.get("l5d-client-id")}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("0.0.0.0", 8080), Votes).serve_forever()
"""
IMAGE = "debian"


def application(name: str, *, inject: bool = True) -> list[dict[str, Any]]:
    """A Deployment and its Service at port 80."""
    return [workload("Deployment", name), service(name)]


def stateful(name: str, *, of: str) -> list[dict[str, Any]]:
    """A StatefulSet of one pod, and its headless Service."""
    more = {"serviceName": of, "replicas": 1}
    return [workload("StatefulSet", name, **more), service(of, selector=name, clusterIP="None")]


def client(name: str) -> list[dict[str, Any]]:
    """Somebody who votes when told to: the tutorial's frontend has curl."""
    found = workload("Deployment", name)
    found["spec"]["template"]["spec"] = {"containers": [{"name": "bot", "image": "your-registry/frontend:latest"}]}
    return [found]


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "server",
        "image": IMAGE,
        "command": ["python3", "-u", "-c", SERVER],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    metadata = {"labels": {"app": name}, "annotations": {names.INJECT_ANNOTATION: "enabled"}}
    template = {"metadata": metadata, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def service(name: str, *, selector: str = "", port: str = "http", **spec: Any) -> dict[str, Any]:
    ports = [{"name": port, "port": 80, "targetPort": 8080, "appProtocol": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": selector or name}, "ports": ports, **spec},
    }


def within(namespace: str, objects: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """The namespace itself and everything in it."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    return [space, *({**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in objects)]
