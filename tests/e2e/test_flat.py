"""A flat network, no gateway anywhere: pods of the other cluster are dialled by their addresses, as who they are."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import numbers
from tests.e2e.loading import load
from tests.lab_fixture import EAST, WEST, Lab, start

import isthmus.cli
from isthmus import names

pytestmark = pytest.mark.lab

EXAMPLES = Path(isthmus.cli.__file__).with_name("examples")
BOTH = (EAST, WEST)
MIRROR = "backend-cluster-east"


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of its own: west is linked to east, whose backend is exported for flat networks."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    path = tmp_path_factory.mktemp("flat") / "lab"
    try:
        lab = start(path, "--flat")
        _prepare(lab)
        yield lab
    finally:
        Lab(path, dict(os.environ)).isthmus("lab", "down", check=False)


def _prepare(lab: Lab) -> None:
    multicluster = ("multicluster", "install", "--gateway=false")
    _in_both(lambda cluster: lab.apply(cluster, lab.linkerd(cluster, "install", "--crds")))
    _in_both(lambda cluster: lab.apply(cluster, lab.linkerd(cluster, "install")))
    _in_both(lambda cluster: lab.apply(cluster, lab.linkerd(cluster, *multicluster)))
    # A pod that is made before there is an injector gets no proxy.
    _in_both(lambda cluster: lab.kubectl(cluster, "-n", "linkerd", "rollout", "status", "deploy", "--timeout", "60s"))
    lab.kubectl(EAST, "apply", "-f", str(EXAMPLES / "backend.yaml"))
    lab.kubectl(WEST, "apply", "-f", str(EXAMPLES / "frontend.yaml"))
    lab.apply(WEST, lab.linkerd(EAST, "multicluster", "link", "--cluster-name", EAST, "--gateway=false"))
    lab.kubectl(EAST, "annotate", "service", "backend", f"{names.EXPORTED}=remote-discovery", "--overwrite")
    for cluster, deployment in ((EAST, "backend"), (WEST, "frontend")):
        lab.kubectl(cluster, "rollout", "status", f"deploy/{deployment}", "--timeout", "60s")
    lab.wait(lambda: lab.kubectl(WEST, "get", "service", MIRROR, "--ignore-not-found"), what="the mirror")
    ready = ("wait", f"link/linkerd-{EAST}", "--for", "condition=Ready", "--timeout", "60s")
    lab.kubectl(WEST, "-n", names.MULTICLUSTER_NAMESPACE, *ready)


def _in_both(do: Callable[[str], Any]) -> None:
    with ThreadPoolExecutor() as threads:
        list(threads.map(do, BOTH))


def test_pods_of_both_clusters_meet_with_their_own_addresses_and_identities(flat: Lab) -> None:
    pods = {pod["metadata"]["name"] for pod in flat.get(EAST, "pods", "-l", "app=backend")}
    with load(flat, MIRROR, connections=2, requests=300) as running:
        result = running.finish()
    print(result)
    assert result["failed"] == 0, result["failures"]
    assert result["pods"].keys() == pods
    assert domain(answer(flat, MIRROR)["client_id"]) == trust_domain(flat, WEST)
    assert trust_domain(flat, WEST) != trust_domain(flat, EAST)
    assert flat.get(EAST, "services", "-n", names.MULTICLUSTER_NAMESPACE) == [], "no gateway has helped"


def test_a_federated_service_needs_no_gateway_there(flat: Lab) -> None:
    flat.kubectl(EAST, "label", "service", "backend", f"{names.FEDERATED}=member")
    flat.wait(
        lambda: flat.kubectl(WEST, "get", "service", "backend-federated", "--ignore-not-found"), what="the federation"
    )
    assert domain(answer(flat, "backend-federated")["client_id"]) == trust_domain(flat, WEST)
    flat.kubectl(EAST, "label", "service", "backend", f"{names.FEDERATED}-")


def test_what_was_sent_is_what_the_tables_say(flat: Lab) -> None:
    with numbers.viz(flat), numbers.servers(flat, **{names.EXPORTED: "remote-discovery"}):
        numbers.require_exact(flat, f"-{EAST}")


# --- words --------------------------------------------------------------------------------------------------------
def answer(lab: Lab, host: str) -> dict[str, Any]:
    command = ("curl", "-sS", "--fail-with-body", "--max-time", "5", f"http://{host}:8080/health")
    return dict(json.loads(lab.exec(WEST, "deploy/frontend", *command, container="frontend")))


def domain(identity: str) -> str:
    return identity.removeprefix("spiffe://").partition("/")[0]


def trust_domain(lab: Lab, cluster: str) -> str:
    roots = lab.get(cluster, "configmap", names.TRUST_ROOTS_CONFIG_MAP, "-n", names.CONTROL_PLANE_NAMESPACE)
    return str(roots["data"][names.TRUST_DOMAIN_KEY])
