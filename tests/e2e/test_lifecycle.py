"""Services come and go in one cluster; the other follows within a second, and nothing is restarted."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from tests.e2e.observing import EAST_BACKEND, Stream, in_frontend, instances, traffic, watch
from tests.lab_fixture import EAST, WEST, Lab

pytestmark = pytest.mark.lab

MIRROR = "backend-cluster-east"
ONLY_MIRROR = ("--field-selector", f"metadata.name={MIRROR}")
EXPORTED = "mirror.linkerd.io/exported"
ADDRESSES = "{.object.endpoints[*].addresses[*]}"
SKIPPED = "reason=ServiceMirroringSkipped"
READY = "{.object.endpoints[?(@.conditions.ready==true)].addresses[*]}"
OF_BACKEND = ("-l", "kubernetes.io/service-name=backend")
WITHIN = 1.0


@dataclass
class West:
    """What west shows of east's backend, and how long after a change in east it showed it."""

    lab: Lab
    services: Stream
    slices: Stream
    requests: Stream
    began: float = 0.0
    delays: dict[str, float] = field(default_factory=dict)

    def after(self, *words: str) -> None:
        """Run kubectl in east; what follows is measured from its return."""
        sent = time.monotonic()
        self.lab.kubectl(EAST, *words)
        self.began, self.sent = time.monotonic(), sent

    def shows(self, seen: Stream, matches: Callable[[str], bool], *, what: str) -> str:
        """Wait until a stream shows something after the change was sent; how long it took goes into `delays`."""
        line = seen.first(matches, since=self.sent, what=what)
        self.delays[what] = max(line.at - self.began, 0.0)
        return line.text

    def prompt(self) -> None:
        """Everything that was measured happened within a second."""
        print("  ".join(f"{what} {delay * 1000:.0f} ms" for what, delay in self.delays.items()))
        assert max(self.delays.values()) <= WITHIN, self.delays


@pytest.fixture
def west(mesh: Lab) -> Iterator[West]:
    with ExitStack() as stack:
        yield West(
            mesh,
            stack.enter_context(watch(mesh, WEST, "services", *ONLY_MIRROR, show="{.object.metadata.name}")),
            stack.enter_context(watch(mesh, WEST, "endpointslices", *ONLY_MIRROR, show=ADDRESSES)),
            stack.enter_context(traffic(mesh)),
        )


def ok(text: str) -> bool:
    return text.startswith("200")


def refused(text: str) -> bool:
    return text.startswith("503")


def gone(text: str) -> bool:
    return text.startswith("DELETED")


def there(text: str) -> bool:
    return text.startswith("ADDED")


def test_unexporting_takes_the_mirror_away_and_exporting_brings_it_back(mesh: Lab, west: West) -> None:
    before = instances(mesh, WEST), instances(mesh, EAST)
    address = mesh.get(WEST, "service", MIRROR)["spec"]["clusterIP"]
    with traffic(mesh, EAST_BACKEND, resolved=address) as resolved:
        west.after("annotate", "service", "backend", f"{EXPORTED}-")
        west.shows(west.services, gone, what="unexported: Service")
        west.shows(west.slices, gone, what="unexported: EndpointSlice")
        west.shows(west.requests, lambda text: text.startswith("000"), what="unexported: name")
        why = west.shows(resolved, refused, what="unexported: traffic")
        assert "endpoint" in why, why
    west.after("annotate", "service", "backend", f"{EXPORTED}=true")
    west.shows(west.services, there, what="exported: Service")
    west.shows(west.slices, lambda text: text.startswith("ADDED 1"), what="exported: EndpointSlice")
    west.shows(west.requests, ok, what="exported: traffic")
    west.prompt()
    assert (instances(mesh, WEST), instances(mesh, EAST)) == before


def test_scaling_to_nothing_and_back_shows_in_the_mirror_and_in_traffic(mesh: Lab, west: West) -> None:
    before = instances(mesh, WEST)
    address = mesh.get(WEST, "service", MIRROR)["spec"]["clusterIP"]
    west.after("scale", "deployment/backend", "--replicas", "0")
    west.shows(west.slices, lambda text: text == "MODIFIED", what="to 0: EndpointSlice")
    why = west.shows(west.requests, refused, what="to 0: traffic")
    assert "no healthy endpoint" in why, why
    assert mesh.get(WEST, "service", MIRROR)["spec"]["clusterIP"] == address
    with watch(mesh, EAST, "endpointslices", *OF_BACKEND, show=READY) as east:
        west.after("scale", "deployment/backend", "--replicas", "3")
        ready = east.first(lambda text: "10." in text, since=west.began, what="a ready pod in east")
    started = ready.at - west.began
    west.began = ready.at
    west.shows(west.slices, lambda text: text.startswith("MODIFIED 1"), what="a ready pod: EndpointSlice")
    west.shows(west.requests, ok, what="a ready pod: traffic")
    print(f"the first pod was ready {started * 1000:.0f} ms after the command")
    west.prompt()
    mesh.kubectl(EAST, "rollout", "status", "deployment/backend", "--timeout", "60s")
    assert instances(mesh, WEST) == before


def test_a_new_pod_is_called_and_a_removed_one_is_not_with_no_request_failing(mesh: Lab) -> None:
    before = instances(mesh, WEST)
    script = f"while :; do curl -sS --max-time 5 {EAST_BACKEND}; sleep 0.02; done"
    with (
        in_frontend(mesh, script) as answers,
        watch(mesh, EAST, "endpointslices", *OF_BACKEND, show=READY) as east,
    ):
        answers.first(lambda text: '"pod"' in text)
        old = backends(mesh)
        mesh.kubectl(EAST, "scale", "deployment/backend", "--replicas", "4")
        ready = east.first(lambda text: text.count("10.") == 4, what="a fourth ready pod")
        (new,) = backends(mesh) - old
        called = answers.first(lambda text: new in text, since=ready.at, what=f"an answer of {new}")
        print(f"the new pod answered {(called.at - ready.at) * 1000:.0f} ms after it was ready")
        assert called.at - ready.at <= WITHIN
        mesh.kubectl(EAST, "scale", "deployment/backend", "--replicas", "3")
        left = east.first(lambda text: text.count("10.") == 3, since=called.at, what="three ready pods")
        answers.first(lambda text: '"pod"' in text, since=left.at + WITHIN)
        staying = {pod for pod in backends(mesh, phase=("Running",)) if not is_ending(mesh, pod)}
        late = [line.text for line in answers.since(left.at + WITHIN)]
        assert {json.loads(text)["pod"] for text in late} <= staying
        failed = [line.text for line in answers.since(0) if '"pod"' not in line.text]
        assert not failed
    assert instances(mesh, WEST) == before


def backends(lab: Lab, phase: tuple[str, ...] = ("Running", "Pending")) -> set[str]:
    return {
        pod["metadata"]["name"] for pod in lab.get(EAST, "pods", "-l", "app=backend") if pod["status"]["phase"] in phase
    }


def is_ending(lab: Lab, pod: str) -> bool:
    found = lab.get(EAST, "pods", "-l", "app=backend")
    return any(item["metadata"]["name"] == pod and "deletionTimestamp" in item["metadata"] for item in found)


def test_what_kubectl_shows_of_a_link_is_true(mesh: Lab) -> None:
    words = ("get", "links", "-n", "linkerd-multicluster")
    header, row = mesh.kubectl(WEST, *words).splitlines()
    assert header.split() == ["NAME", "TARGET", "GATEWAY", "ALIVE", "SERVICES", "READY", "REASON", "AGE"]
    gateway = mesh.get(EAST, "service", "linkerd-gateway", "-n", "linkerd-multicluster")
    (address,) = [entry["ip"] for entry in gateway["status"]["loadBalancer"]["ingress"]]
    where = f"{address}:4143"
    assert row.split()[:7] == ["linkerd-cluster-east", "cluster-east", where, "True", "1/1", "True", "Ready"]
    slices = mesh.get(WEST, "endpointslice", MIRROR)
    assert [endpoint["addresses"] for endpoint in slices["endpoints"]] == [[address]]
    assert [port["port"] for port in slices["ports"]] == [4143]
    status = mesh.get(WEST, "link", "linkerd-cluster-east", "-n", "linkerd-multicluster")["status"]
    (entry,) = status["mirrorServices"]
    assert (entry["remoteRef"]["namespace"], entry["remoteRef"]["name"]) == ("default", "backend")
    (condition,) = entry["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Mirrored", "True", "Mirrored")
    assert condition["localRef"]["name"] == MIRROR


def test_a_service_that_cannot_be_mirrored_is_told_in_the_status_and_in_an_event(mesh: Lab) -> None:
    namespace = "only-in-east"
    mesh.kubectl(EAST, "create", "namespace", namespace)
    try:
        mesh.kubectl(EAST, "-n", namespace, "create", "service", "clusterip", "lonely", "--tcp=80")
        with watch(mesh, WEST, "links", "-A", show="{.object.status.services} {.object.status.reason}") as links:
            mesh.kubectl(EAST, "-n", namespace, "label", "service", "lonely", f"{EXPORTED}=true")
            links.first(lambda text: text.endswith("1/2 Incomplete"), what="the Link to say 1/2 Incomplete")
            mirrored = mesh.get(WEST, "links", "-A")[0]["status"]["mirrorServices"]
            (entry,) = [item for item in mirrored if item["remoteRef"]["name"] == "lonely"]
            assert entry["conditions"][0]["reason"] == "MissingNamespace"
            assert namespace in entry["conditions"][0]["message"]
            mesh.wait(
                lambda: "lonely" in mesh.kubectl(WEST, "get", "events", "-A", "--field-selector", SKIPPED),
                what="an event about the Service that is not mirrored",
            )
            began = time.monotonic()
            mesh.kubectl(WEST, "create", "namespace", namespace)
            links.first(lambda text: text.endswith("2/2 Ready"), since=began, what="the Link to say 2/2 Ready")
    finally:
        for cluster in (EAST, WEST):
            mesh.kubectl(cluster, "delete", "namespace", namespace, "--ignore-not-found")
    mesh.wait(lambda: mesh.get(WEST, "links", "-A")[0]["status"]["services"] == "1/1", what="1/1 again")
