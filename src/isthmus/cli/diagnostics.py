"""`linkerd diagnostics`: what the control plane sees."""

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import PODS, SERVICES
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.tables import table
from isthmus.kube import errors

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

EPILOG: Final = """
\b
Examples:
  linkerd diagnostics endpoints backend.default.svc.cluster.local:8080
  linkerd diagnostics endpoints backend-cluster-east.default.svc.cluster.local:8080 -o json
"""
AUTHORITY: Final = re.compile(r"^(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc\.[a-z0-9.-]+:(?P<port>\d+)$")
HEADER: Final = ("NAMESPACE", "IP", "PORT", "POD", "SERVICE", "CLUSTER", "IDENTITY")
PRIORITY: Final = "PRIORITY"
"""Shown only where there are standbys."""


@click.group(epilog=EPILOG)
def diagnostics() -> None:
    """Look at what the control plane sees."""


@diagnostics.command(epilog=EPILOG)
@cluster_options
@click.argument("authorities", nargs=-1, required=True, metavar="AUTHORITY...")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output format")
def endpoints(*, cluster: Cluster, authorities: tuple[str, ...], output: str) -> None:
    """Print the endpoints that proxies get for a service, given as <service>.<namespace>.svc.<domain>:<port>."""
    with connected(cluster) as client:
        found = [entry for authority in authorities for entry in _endpoints(client, cluster, authority)]
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    elif found:
        click.echo(table(*columns(found)))
    else:
        click.echo("No endpoints found.")


def _endpoints(client: "SyncClient", cluster: Cluster, authority: str) -> list[dict[str, Any]]:
    parts = AUTHORITY.match(authority)
    if parts is None:
        fail(
            f'"{authority}" is not the name of a service and a port.',
            "Write it like backend.default.svc.cluster.local:8080.",
        )
    namespace, name = parts["namespace"], parts["service"]
    service = client.get(SERVICES, name, namespace)
    address = service["spec"].get("clusterIP")
    if address in (None, "", "None"):
        fail(f"Service {namespace}/{name} is headless: its pods are dialled by their own addresses.")
    answer = _ask(client, cluster, f"{address}:{parts['port']}")
    if answer["state"] == "pending":
        what = f"A backend of {namespace}/{name}" if answer["endpoints"] else f"{namespace}/{name}"
        click.echo(
            f"{what} is in a linked cluster and no pod here has called it yet: its endpoints are watched "
            "from the first request on.",
            err=True,
        )
    if answer["state"] == "unknown":
        ports = ", ".join(str(port["port"]) for port in service["spec"].get("ports", []))
        fail(f"Service {namespace}/{name} has no port {parts['port']}; it has {ports}.")
    return [{"namespace": namespace, "service": f"{name}.{namespace}", **entry} for entry in answer["endpoints"]]


def _ask(client: "SyncClient", cluster: Cluster, address: str) -> dict[str, Any]:
    """One ready destination pod answers, through the API server."""
    pods = client.list(PODS, cluster.linkerd_namespace, labels=f"{names.COMPONENT_LABEL}=destination")
    ready = [
        pod["metadata"]["name"]
        for pod in pods
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))
    ]
    if not ready:
        fail("No destination pod is ready.", "Run `linkerd check`.")
    path = (
        f"/api/v1/namespaces/{cluster.linkerd_namespace}/pods/{ready[0]}:{names.CONTROLLER_ADMIN_PORT}"
        f"/proxy/endpoints?address={quote(address)}"
    )
    try:
        return dict(json.loads(client.raw("GET", path)))
    except errors.Forbidden:
        fail(f"You may not reach pods/proxy in namespace {cluster.linkerd_namespace}.", "Ask for that permission.")


def columns(entries: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows."""
    rows = [_row(entry) for entry in entries]
    if not any(entry["priority"] for entry in entries):
        return HEADER, rows
    return (*HEADER, PRIORITY), [(*row, str(entry["priority"])) for row, entry in zip(rows, entries, strict=True)]


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["namespace"],
        entry["ip"],
        str(entry["port"]),
        entry.get("pod") or "-",
        entry["service"],
        entry.get("cluster") or "-",
        entry.get("identity") or "-",
    )
