"""What the control plane logs: events, one a line, and nothing that opens a door."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator

import pytest
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

pytestmark = pytest.mark.lab
SECRETS = {
    "a private key": re.compile(r"PRIVATE KEY"),
    "a token": re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
}
FIELDS = {"level", "time", "message"}
LINE = 40
"""As long as this is no word that might be in a log for another reason."""

NAME = re.compile(r"[a-z]+([-.][a-z]+)*")
"""Of an account, say: no key or token is without digits and capitals."""


def test_every_line_is_one_event_and_tells_no_secret(mesh: Lab) -> None:
    lines = [line for cluster in (EAST, WEST) for line in logged(mesh, cluster)]
    assert len({where for where, _ in lines}) >= 6, "of both clusters; the injector may have had nothing to say"
    for where, line in lines:
        event = json.loads(line)
        assert event.keys() >= FIELDS, f"{where}: {line}"
        assert told(line) == [], where
    everything = "\n".join(line for _, line in lines)
    kept = {secret for cluster in (EAST, WEST) for secret in secrets(mesh, cluster)}
    assert len(kept) > 10
    assert [secret for secret in kept if secret in everything] == []


def test_keys_and_tokens_would_be_found(mesh: Lab) -> None:
    token = mesh.kubectl(WEST, "create", "token", "default").strip()
    assert told(f'{{"message": "Authorization: Bearer {token}"}}') == ["a token"]
    assert told('{"key": "-----BEGIN EC PRIVATE KEY-----"}') == ["a private key"]


def told(line: str) -> list[str]:
    return [what for what, pattern in SECRETS.items() if pattern.search(line)]


def secrets(mesh: Lab, cluster: str) -> Iterator[str]:
    """What this cluster keeps in Secrets, word by word, but for certificates and names, which are no secret."""
    for namespace in (names.CONTROL_PLANE_NAMESPACE, names.MULTICLUSTER_NAMESPACE):
        for secret in mesh.get(cluster, "secrets", "-n", namespace):
            for key, data in secret["data"].items():
                text = b64decode(data).decode()
                words = (word for word in text.split() if len(word) >= LINE and not key.endswith(".crt"))
                yield from (word for word in words if not NAME.fullmatch(word))


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
