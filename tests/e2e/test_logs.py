"""What the control plane logs: events, one a line, and nothing that opens a door."""

import json
import re

import pytest
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

pytestmark = pytest.mark.lab
SECRETS = {
    "a private key": re.compile(r"PRIVATE KEY"),
    "a token": re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
}
FIELDS = {"level", "time", "message"}


def test_every_line_is_one_event_and_tells_no_secret(mesh: Lab) -> None:
    lines = [line for cluster in (EAST, WEST) for line in logged(mesh, cluster)]
    assert len(lines) > 20
    for where, line in lines:
        event = json.loads(line)
        assert event.keys() >= FIELDS, f"{where}: {line}"
        assert "\n" not in line
        assert [what for what, pattern in SECRETS.items() if pattern.search(line)] == [], where


def logged(mesh: Lab, cluster: str) -> list[tuple[str, str]]:
    """Where, and a line, of every process of the control plane."""
    return [
        (f"{cluster} {pod['metadata']['name']}", line)
        for namespace in (names.CONTROL_PLANE_NAMESPACE, names.MULTICLUSTER_NAMESPACE)
        for pod in mesh.get(cluster, "pods", "-n", namespace)
        if "deletionTimestamp" not in pod["metadata"]
        for container in pod["spec"]["containers"]
        if container["image"].partition(":")[0].endswith(f"/{names.CONTROLLER_IMAGE}")
        for line in mesh.kubectl(
            cluster, "-n", namespace, "logs", pod["metadata"]["name"], "-c", container["name"]
        ).splitlines()
    ]
