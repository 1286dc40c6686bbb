"""The demo's two clusters, and what the benchmark deploys into them, through kubectl alone."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from isthmus.cli.demo import EAST, WEST
from isthmus.lab.images import USER_FILE

NAMESPACE: Final = "bench"
MANIFESTS: Final = Path(__file__).parent / "manifests"
_TIMEOUT: Final = 300.0
"""Everything waits for conditions with timeouts of its own; this one is for what hangs."""
_ISTHMUS: Final = (sys.executable, "-m", "isthmus.cli.main")


class BenchError(Exception):
    """The benchmark cannot go on; the message says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster, as kubectl sees it."""

    context: str
    environment: Mapping[str, str]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl printed; raises BenchError when it fails."""
        return run(["kubectl", "--context", self.context, *arguments], self.environment, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", "-o", "json", *arguments))

    def pods(self, label: str, namespace: str = NAMESPACE) -> list[str]:
        """Names of the pods with a label, sorted."""
        found = self.get("pods", "-n", namespace, "-l", label)["items"]
        return sorted(pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"])

    def execute(self, pod: str, container: str, *command: str, namespace: str = NAMESPACE, stdin: str = "") -> str:
        flags = ["-i"] if stdin else []
        return self.kubectl(
            "exec", *flags, "-n", namespace, pod, "-c", container, "--", *command, stdin=stdin if stdin else None
        )

    def started(self, pod: str, container: str, *command: str) -> subprocess.Popen[bytes]:
        """A program beside a container's own, for as long as its kubectl lives."""
        words = ["kubectl", "--context", self.context, "exec", "-n", NAMESPACE, pod, "-c", container, "--", *command]
        return subprocess.Popen(
            words,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def run(words: list[str], environment: Mapping[str, str], *, stdin: str | None = None) -> str:
    try:
        done = subprocess.run(
            words,
            env=dict(environment),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"`{' '.join(words)}` did not end within {_TIMEOUT:.0f} s") from None
    if done.returncode:
        raise BenchError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def demo(directory: Path) -> None:
    """What `isthmus demo` deploys, running in a lab of its own."""
    run([*_ISTHMUS, "demo", "--dir", str(directory)], os.environ)


def clusters(directory: Path) -> tuple[Cluster, Cluster]:
    """East and west of a lab that runs."""
    environment = {
        **os.environ,
        "ISTHMUS_LAB_DIR": str(directory),
        "KUBECONFIG": str(directory / "kubeconfig"),
        "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
    }
    return Cluster(EAST, environment), Cluster(WEST, environment)


def down(directory: Path) -> None:
    run([*_ISTHMUS, "lab", "down", "--dir", str(directory)], os.environ)


def add_images(directory: Path, images: Mapping[str, Any]) -> None:
    """Tell the lab which programs stand for image names."""
    file = directory / USER_FILE
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, **images}, indent=2))


def scale(east: Cluster, servers: int) -> None:
    """So many pods of the application, with proxies and without."""
    for name in ("server", "plain-server"):
        east.kubectl("-n", NAMESPACE, "scale", f"deploy/{name}", f"--replicas={servers}")
    for name in ("server", "plain-server"):
        east.kubectl("-n", NAMESPACE, "rollout", "status", f"deploy/{name}", "--timeout=120s")


def deploy(east: Cluster, west: Cluster) -> None:
    """Everything in manifests/, running."""
    for cluster, name in ((east, "east"), (west, "west")):
        cluster.kubectl("apply", "-f", str(MANIFESTS / f"{name}.yaml"))
    for cluster in (east, west):
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deploy", "--timeout", "120s")
    west.kubectl(
        "-n",
        NAMESPACE,
        "wait",
        "service/server-cluster-east",
        "--for",
        "jsonpath={.spec.clusterIP}",
        "--timeout",
        "30s",
    )


def address(cluster: Cluster, service: str) -> str:
    """The cluster IP of a service."""
    return str(cluster.get("service", "-n", NAMESPACE, service)["spec"]["clusterIP"])


def external_address(cluster: Cluster, service: str) -> str:
    """The load-balancer address of a service."""
    ingress = cluster.get("service", "-n", NAMESPACE, service)["status"]["loadBalancer"]["ingress"]
    return str(ingress[0]["ip"])
