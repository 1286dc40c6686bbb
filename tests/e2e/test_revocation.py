"""The end of trust on the target's side: whoever was linked is out in seconds, also on connections it keeps open."""

import time
from collections.abc import Iterator

import pytest
from tests.e2e.observing import traffic
from tests.lab_fixture import EAST, WEST, Lab

from isthmus import names

pytestmark = pytest.mark.lab

NAMESPACE = names.MULTICLUSTER_NAMESPACE
CONTROLLER = f"deploy/{names.MULTICLUSTER_CONTROLLER}"
OUT_WITHIN = 5.0


@pytest.fixture
def controller_back(mesh: Lab) -> Iterator[None]:
    yield
    mesh.kubectl(WEST, "-n", NAMESPACE, "scale", CONTROLLER, "--replicas", "1")


@pytest.fixture
def linked_again(mesh: Lab) -> Iterator[None]:
    """Afterwards: the account is there, west has credentials of it, and the link is as it was."""
    yield
    mesh.apply(EAST, mesh.linkerd(EAST, "multicluster", "install"))
    mesh.apply(WEST, mesh.linkerd(EAST, "multicluster", "link", "--cluster-name", EAST))
    mesh.kubectl(WEST, "-n", NAMESPACE, "wait", "link", "--all", "--for", "condition=Ready", "--timeout", "60s")


def tunnels(lab: Lab) -> list[str]:
    """How many connections the frontend's proxy ever made to east's gateway."""
    stats = lab.exec(
        WEST, "deploy/frontend", "sh", "-c", "python -c 'import urllib.request as u; print(u.urlopen("
        '"http://127.0.0.1:4192/stats?filter=gateway.*upstream_cx_total").read().decode())\'',
        container=names.PROXY_CONTAINER,
    )  # fmt: skip
    return sorted(stats.split("\n"))


def test_deleting_a_registration_refuses_a_cluster_on_the_connections_that_it_keeps(
    mesh: Lab, controller_back: None
) -> None:
    """West does nothing about it: its controller, which would take the way away or register again, is gone."""
    mesh.kubectl(WEST, "-n", NAMESPACE, "scale", CONTROLLER, "--replicas", "0")
    mesh.kubectl(
        WEST, "-n", NAMESPACE, "wait", CONTROLLER, "--for", "jsonpath={.status.replicas}=0", "--timeout", "30s"
    )
    (registration,) = mesh.get(EAST, "federatedtrustdomains", "-n", NAMESPACE)
    with traffic(mesh) as requests:
        connections = tunnels(mesh)
        began = time.monotonic()
        mesh.kubectl(EAST, "-n", NAMESPACE, "delete", "federatedtrustdomain", registration["metadata"]["name"])
        refused = requests.first(lambda text: not text.startswith("200"), since=began, what="a request to be refused")
        print(f"refused {refused.at - began:.2f} s after the command was given: {refused.text}")
        assert refused.at - began < OUT_WITHIN
        assert refused.text.startswith("403"), refused.text
        assert tunnels(mesh) == connections, "the connection is the one from before"
        settled = requests.first(lambda text: not text.startswith("200"), since=time.monotonic())
        assert all(not line.text.startswith("200") for line in requests.since(settled.at))
        again = time.monotonic()
        mesh.kubectl(WEST, "-n", NAMESPACE, "scale", CONTROLLER, "--replicas", "1")
        let_in = requests.first(lambda text: text.startswith("200"), since=again, what="traffic again", timeout=40)
        print(f"in again {let_in.at - again:.2f} s after west's controller is back")


def test_deleting_the_account_of_a_link_ends_what_was_registered_with_it(mesh: Lab, linked_again: None) -> None:
    """West's controller runs and would register again, if it could."""
    with traffic(mesh) as requests:
        began = time.monotonic()
        mesh.kubectl(EAST, "-n", NAMESPACE, "delete", "serviceaccount", names.REMOTE_ACCESS_ACCOUNT)
        refused = requests.first(lambda text: not text.startswith("200"), since=began, what="a request to be refused")
        print(f"refused {refused.at - began:.2f} s after the command was given: {refused.text}")
        assert refused.at - began < OUT_WITHIN
        mesh.wait(lambda: reason(mesh) != "Ready", what="west's Link to say that something is wrong")
        print(f"west's Link says {reason(mesh)} {time.monotonic() - began:.2f} s after the command was given")
        assert not mesh.get(EAST, "federatedtrustdomains", "-n", NAMESPACE)
        since = time.monotonic()
        requests.first(lambda text: True, since=since)
        assert all(not line.text.startswith("200") for line in requests.since(since))


def reason(lab: Lab) -> str:
    return str(lab.get(WEST, "links", "-A")[0]["status"]["reason"])
