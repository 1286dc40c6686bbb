"""What `check` says about workloads that nobody else would."""

from types import SimpleNamespace
from typing import Any

import pytest

from isthmus import names
from isthmus.cli.control_plane import NAMESPACES, PODS, SERVICES, ControlPlane
from isthmus.cli.health import Problem
from isthmus.cli.workload_checks import require_injection, require_splits
from isthmus.kube.meta import Meta
from isthmus.resources.splits import TRAFFIC_SPLITS, Backend, TrafficSplit, TrafficSplitSpec

ENABLED = {names.INJECT_ANNOTATION: "enabled"}
DISABLED = {names.INJECT_ANNOTATION: "disabled"}


def plane(**objects: list[Any]) -> ControlPlane:
    lists = {PODS: "pods", NAMESPACES: "namespaces", SERVICES: "services", TRAFFIC_SPLITS: "splits"}
    there: Any = SimpleNamespace(list=lambda kind, namespace=None, **_: objects.get(lists[kind], []))
    return ControlPlane(there)


def thing(name: str, annotations: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "annotations": annotations or {}}, "spec": {}} | more


def pod(annotations: dict[str, str] | None = None, *containers: str, phase: str = "Running") -> dict[str, Any]:
    spec = {"containers": [{"name": "web"}], "initContainers": [{"name": each} for each in containers]}
    return thing("web", annotations, spec=spec, status={"phase": phase})


@pytest.mark.parametrize(
    ("namespace", "left_out"),
    [({}, pod(ENABLED)), (ENABLED, pod()), (ENABLED, pod({names.INJECT_ANNOTATION: "ingress"}))],
)
def test_a_pod_that_was_made_before_there_was_an_injector_is_named_and_how_it_gets_its_proxy(
    namespace: dict[str, str], left_out: dict[str, Any]
) -> None:
    with pytest.raises(Problem, match=r"pod shop/web asks for a proxy .*rollout restart"):
        require_injection(plane(pods=[left_out], namespaces=[thing("shop", namespace)]), None)


@pytest.mark.parametrize(
    ("namespace", "right"),
    [
        ({}, pod()),
        (ENABLED, pod(DISABLED)),
        (ENABLED, pod(None, names.PROXY_CONTAINER)),
        (ENABLED, pod(phase="Succeeded")),
        (ENABLED, thing("web", spec={"hostNetwork": True})),
        (ENABLED, {"metadata": {"name": "web", "namespace": "shop", "deletionTimestamp": "now"}, "spec": {}}),
    ],
)
def test_who_asks_for_no_proxy_has_one_or_cannot_have_one_is_not_named(
    namespace: dict[str, str], right: dict[str, Any]
) -> None:
    require_injection(plane(pods=[right], namespaces=[thing("shop", namespace)]), None)


def test_of_many_pods_the_first_are_named_and_the_others_counted() -> None:
    with pytest.raises(Problem) as told:
        require_injection(plane(pods=[pod(ENABLED)] * 7, namespaces=[thing("shop")]), None)
    assert str(told.value).splitlines()[5:] == ["and 2 more"]


def split(service: str, *backends: str) -> TrafficSplit:
    return TrafficSplit(
        metadata=Meta(name="web-split", namespace="shop"),
        spec=TrafficSplitSpec(service=service, backends=tuple(Backend(service=each) for each in backends)),
    )


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (split("web", "web", "web-est"), "TrafficSplit shop/web-split names Service web-est, which is not there"),
        (split("wbe", "web"), "is for Service wbe, which is not there"),
    ],
)
def test_a_split_with_a_name_that_is_wrong_is_named_before_the_day_it_is_needed(
    written: TrafficSplit, sentence: str
) -> None:
    with pytest.raises(Problem, match=sentence):
        require_splits(plane(splits=[written], services=[thing("web"), thing("web-east")]))


def test_a_split_whose_services_are_there_is_right() -> None:
    require_splits(plane(splits=[split("web", "web", "web-east")], services=[thing("web"), thing("web-east")]))
