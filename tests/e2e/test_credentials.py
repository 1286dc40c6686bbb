"""Credentials of a Link change under load, by hand and by themselves, and nobody misses an answer."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.e2e.loading import load
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names
from isthmus.lab.api.tokens import Account, Tokens
from isthmus.multicluster import tokens

pytestmark = pytest.mark.lab

NAMESPACE = names.MULTICLUSTER_NAMESPACE
LINK = f"linkerd-{EAST}"
SECRET = f"cluster-credentials-{EAST}"
LIFE, LEFT = 600, 4
RATE = 500.0
SECONDS = 9.0


@pytest.fixture
def own_pods(mesh: Lab) -> Iterator[Lab]:
    """The link and the backend as they were found."""
    replicas = mesh.get(EAST, "deploy", "backend")["spec"]["replicas"]
    yield mesh
    mesh.kubectl(EAST, "scale", "deploy/backend", "--replicas", str(replicas))
    link_again(mesh)


def test_credentials_that_change_and_renew_themselves_cost_no_get(own_pods: Lab) -> None:
    mesh = own_pods
    with load(mesh, "backend-cluster-east", connections=8, requests=3000, seconds=SECONDS, rate=RATE) as running:
        running.answered(400)
        began = time.monotonic()
        link_again(mesh)
        relinked = in_use(mesh)
        mesh.wait(lambda: expiry(mesh) == said(relinked).expiry, what="the new credentials are used")
        by_hand = time.monotonic() - began

        aged = token_with_seconds_left(mesh)
        began = time.monotonic()
        use(mesh, aged)
        mesh.wait(lambda: in_use(mesh) != aged, what="the controller has renewed credentials at the end of their life")
        renewed = in_use(mesh)
        mesh.wait(lambda: expiry(mesh) == said(renewed).expiry, what="the renewed credentials are used")
        by_itself = time.monotonic() - began

        # What is found out about a new pod is asked with the credentials of now: the old ones have expired.
        mesh.wait(lambda: not accepted(mesh, aged), what="the old credentials have expired")
        before = pods(mesh)
        mesh.kubectl(EAST, "scale", "deploy/backend", "--replicas", str(len(before) + 1))
        (new,) = mesh.wait(lambda: pods(mesh) - before, what="there is another backend")
        mesh.kubectl(EAST, "rollout", "status", "deploy/backend", "--timeout", "60s")
        result = running.finish()
    if new not in result["pods"]:
        with load(mesh, "backend-cluster-east", connections=8, requests=500) as late:
            result["pods"] |= late.finish()["pods"]
    print(f"linked again: {by_hand:.2f} s until used; renewed by itself: {by_itself:.2f} s; {result}")
    assert result["failed"] == 0, result["failures"]
    assert result["requests"] >= 3000
    assert said(renewed).life == LIFE
    assert new in result["pods"]


def test_two_clusters_are_linked_both_ways_by_one_command(mesh: Lab) -> None:
    other = f"linkerd-{WEST}"
    try:
        for _ in range(2):
            told = mesh.linkerd(WEST, "multicluster", "link", "--to-context", EAST, "--wait", "30s")
            assert f"{WEST} -> {EAST} is ready" in told
            assert f"{EAST} -> {WEST} is ready" in told
        assert said(in_use(mesh)).account == f"linkerd-service-mirror-remote-access-{WEST}"
        for cluster, name in ((EAST, other), (WEST, LINK)):
            conditions = mesh.get(cluster, "link", name, "-n", NAMESPACE)["status"]["conditions"]
            assert {item["type"]: item["status"] for item in conditions}["TrustEstablished"] == "True"
    finally:
        link_again(mesh)
        mesh.kubectl(EAST, "-n", NAMESPACE, "delete", "link", other, "--ignore-not-found")
        mesh.kubectl(EAST, "-n", NAMESPACE, "delete", "secret", f"cluster-credentials-{WEST}", "--ignore-not-found")


# --- words --------------------------------------------------------------------------------------------------------
def link_again(lab: Lab) -> None:
    lab.apply(WEST, lab.linkerd(EAST, "multicluster", "link", "--cluster-name", EAST))


def in_use(lab: Lab) -> str:
    """The token in the Secret now."""
    data = lab.get(WEST, "secret", SECRET, "-n", NAMESPACE)["data"]
    return str(yaml.safe_load(base64.b64decode(data[names.CREDENTIALS_KEY]))["users"][0]["user"]["token"])


def use(lab: Lab, token: str) -> None:
    data = lab.get(WEST, "secret", SECRET, "-n", NAMESPACE)["data"]
    changed = tokens.with_token(base64.b64decode(data[names.CREDENTIALS_KEY]), token)
    patch = {"data": {names.CREDENTIALS_KEY: base64.b64encode(changed).decode()}}
    lab.kubectl(WEST, "-n", NAMESPACE, "patch", "secret", SECRET, "--type=merge", "-p", json.dumps(patch))


def said(token: str) -> tokens.Token:
    found = tokens.parse(token)
    assert found is not None
    return found


def expiry(lab: Lab) -> str:
    """What the Link shows."""
    return str(lab.get(WEST, "link", LINK, "-n", NAMESPACE)["status"].get("credentialsExpireAt"))


def token_with_seconds_left(lab: Lab, left: float = LEFT) -> str:
    """A token as east's API server made them ten minutes ago, with its own key."""
    account = lab.get(EAST, "serviceaccount", names.REMOTE_ACCESS_ACCOUNT, "-n", NAMESPACE)
    key = (lab.path / EAST / "pki" / "sa.key").read_bytes()
    then = Tokens(Tokens.load(key).key, clock=lambda: time.time() - LIFE + left)
    subject = Account(NAMESPACE, names.REMOTE_ACCESS_ACCOUNT, account["metadata"]["uid"])
    return then.mint(subject, audiences=[then.issuer], seconds=LIFE)[0]


def accepted(lab: Lab, token: str) -> bool:
    review: dict[str, Any] = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    found = lab.kubectl(EAST, "create", "-o", "json", "-f", "-", stdin=json.dumps(review))
    return bool(json.loads(found)["status"].get("authenticated"))


def pods(lab: Lab) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.get(EAST, "pods", "-l", "app=backend")}
