"""The end of a Link: everything it made goes, in both clusters, whatever happens to the controller meanwhile."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.observing import EAST_BACKEND, instances, traffic, watch
from tests.lab_fixture import EAST, WEST, Lab

from isthmus.lab import processes

pytestmark = pytest.mark.lab

LINK = "linkerd-cluster-east"
NAMESPACE = "linkerd-multicluster"
CONTROLLER = "deployment/linkerd-multicluster-controller"
EXPORTED = "mirror.linkerd.io/exported"
NO_REPLICAS = "jsonpath={.status.replicas}=0"
MANY = 30
GONE_WITHIN = 5.0


@pytest.fixture
def link(mesh: Lab) -> Iterator[str]:
    """What `linkerd multicluster link` prints; applied again when the test is over."""
    printed = mesh.linkerd(EAST, "multicluster", "link", "--cluster-name", "cluster-east")
    yield printed
    link_again(mesh, printed)


@pytest.fixture
def many(mesh: Lab) -> Iterator[list[str]]:
    """So many exported Services that removing their mirrors takes a while."""
    names = [f"many-{number}" for number in range(MANY)]
    ports = [{"port": 80}]
    annotations = {EXPORTED: "true"}
    mesh.apply(
        EAST,
        *(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default", "annotations": annotations},
                "spec": {"ports": ports},
            }
            for name in names
        ),
    )
    mesh.wait(lambda: services_of(mesh) == f"{MANY + 1}/{MANY + 1}", what=f"{MANY} more mirrors")
    yield names
    mesh.kubectl(EAST, "delete", "services", *names, "--wait=false")
    mesh.wait(lambda: services_of(mesh) == "1/1", what="the mirrors to go with their Services")


def services_of(lab: Lab) -> str:
    links = lab.get(WEST, "links", "-A")
    return links[0].get("status", {}).get("services", "") if links else ""


def link_again(lab: Lab, printed: str) -> None:
    lab.apply(WEST, printed)
    lab.kubectl(WEST, "-n", NAMESPACE, "wait", f"link/{LINK}", "--for", "condition=Ready", "--timeout", "60s")


def made(lab: Lab) -> list[str]:
    """Everything in both clusters that exists because of the Link, but for what the user applied."""
    found = [
        *lab.get(WEST, "services,endpointslices", "-A", "-l", "mirror.linkerd.io/cluster-name=cluster-east"),
        *lab.get(WEST, "secrets", "-n", "linkerd", "-l", "multicluster.linkerd.io/cluster-name=cluster-east"),
        *lab.get(EAST, "federatedtrustdomains", "-A"),
        *lab.get(WEST, "links", "-A"),
    ]
    return [f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}" for item in found]


def controller(lab: Lab) -> int:
    """The process of west's Link controller, as this machine counts."""
    (pod,) = lab.get(WEST, "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=multicluster-controller")
    holder = json.loads(lab.isthmus("lab", "status", "-o", "json"))["pid"]
    host = f"HOSTNAME={pod['metadata']['name']}".encode()
    (container,) = [
        process.pid
        for process in processes.inside(holder)
        if " -m isthmus.controller multicluster-controller " in process.command
        and host in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    ]
    return processes.only_child(container)


def test_deleting_a_link_removes_all_that_it_made_and_applying_it_brings_it_back(mesh: Lab, link: str) -> None:
    assert {item.split()[0] for item in made(mesh)} == {"Service", "EndpointSlice", "FederatedTrustDomain", "Link"}
    before = instances(mesh, WEST), instances(mesh, EAST)
    address = mesh.get(WEST, "service", "backend-cluster-east")["spec"]["clusterIP"]
    with traffic(mesh, EAST_BACKEND, resolved=address) as resolved, traffic(mesh) as requests:
        began = time.monotonic()
        mesh.kubectl(WEST, "-n", NAMESPACE, "delete", "link", LINK)
        mesh.wait(lambda: not made(mesh), what=f"everything gone; there is {made(mesh)}", timeout=GONE_WITHIN)
        print(f"everything gone {time.monotonic() - began:.2f} s after the command was given")
        why = resolved.first(lambda text: text.startswith("503"), since=began, what="the old address to be refused")
        assert "endpoint" in why.text, why
        requests.first(lambda text: text.startswith("000"), since=began, what="the name to be gone")
        began = time.monotonic()
        link_again(mesh, link)
        again = requests.first(lambda text: text.startswith("200"), since=began, what="traffic again")
        print(f"traffic {again.at - began:.2f} s after applying the Link again")
    assert (instances(mesh, WEST), instances(mesh, EAST)) == before


def test_deleting_the_file_that_link_printed_leaves_nothing_though_it_names_the_secret_first(
    mesh: Lab, link: str
) -> None:
    mesh.kubectl(WEST, "delete", "-f", "-", stdin=link)
    mesh.wait(lambda: not made(mesh), what=f"everything gone; there is {made(mesh)}", timeout=GONE_WITHIN)


def test_a_controller_killed_before_it_began_finishes_when_it_is_back(mesh: Lab, many: list[str], link: str) -> None:
    process = controller(mesh)
    os.kill(process, signal.SIGSTOP)
    mesh.kubectl(WEST, "-n", NAMESPACE, "delete", "link", LINK, "--wait=false")
    left = made(mesh)
    assert len(left) > 2 * MANY, left
    os.kill(process, signal.SIGKILL)
    began = time.monotonic()
    mesh.wait(lambda: not made(mesh), what=f"everything gone; there is {made(mesh)}", timeout=40)
    print(f"killed with {len(left)} objects left, all gone {time.monotonic() - began:.2f} s later")


@pytest.mark.parametrize("seen", [1, MANY], ids=["at the first removal", "half-way"])
def test_a_controller_killed_half_way_finishes_when_it_is_back(
    mesh: Lab, many: list[str], link: str, seen: int
) -> None:
    process = controller(mesh)
    mirrors = ("-l", "mirror.linkerd.io/cluster-name=cluster-east")
    with watch(mesh, WEST, "endpointslices", "-A", *mirrors, show="{.object.metadata.name}") as slices:
        slices.first(lambda text: many[-1] in text)
        began = time.monotonic()
        mesh.kubectl(WEST, "-n", NAMESPACE, "delete", "link", LINK, "--wait=false")
        removed = 0
        while removed < seen:
            removed = sum(line.text.startswith("DELETED") for line in slices.since(began))
        os.kill(process, signal.SIGKILL)
    left = made(mesh)
    killed = time.monotonic()
    mesh.wait(lambda: not made(mesh), what=f"everything gone; there is {made(mesh)}", timeout=40)
    print(f"killed with {len(left)} objects left, all gone {time.monotonic() - killed:.2f} s later")


def test_a_link_deleted_while_there_is_no_controller_is_cleaned_up_when_there_is_one(mesh: Lab, link: str) -> None:
    mesh.kubectl(WEST, "-n", NAMESPACE, "scale", CONTROLLER, "--replicas", "0")
    mesh.kubectl(
        WEST, "-n", NAMESPACE, "wait", CONTROLLER, "--for", "jsonpath={.status.replicas}=0", "--timeout", "30s"
    )
    mesh.kubectl(WEST, "-n", NAMESPACE, "delete", "link", LINK, "--wait=false")
    left = made(mesh)
    assert any(item.startswith("Link") for item in left), left
    mesh.kubectl(WEST, "-n", NAMESPACE, "scale", CONTROLLER, "--replicas", "1")
    mesh.wait(lambda: not made(mesh), what=f"everything gone; there is {made(mesh)}", timeout=40)
