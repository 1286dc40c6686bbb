"""What a pod's proxy is told about spans."""

from dataclasses import replace
from typing import Any

import pytest
from tests.injector.test_patch import CONFIG, POD

from isthmus.injector.config import Config
from isthmus.injector.patch import Inject, Refuse, decide
from isthmus.resources import tracing

COLLECTOR, SAMPLING = "config.isthmus.io/tracing-collector", "config.isthmus.io/tracing-sampling"
TRACING = replace(CONFIG, tracing_collector="otel.observability:4317", tracing_sampling="1")


def injected(config: Config, *, pod: dict[str, str] | None = None, namespace: dict[str, str] | None = None) -> Any:
    """The pod's annotations, the environment of its proxy, and what its author is told."""
    metadata = POD["metadata"] | {"annotations": POD["metadata"]["annotations"] | (pod or {})}
    decision = decide(
        POD | {"metadata": metadata}, namespace="shop", namespace_annotations=namespace or {}, config=config
    )
    assert isinstance(decision, Inject)
    patch = {operation["path"]: operation["value"] for operation in decision.patch}
    (proxy,) = (each for each in patch["/spec/initContainers"] if each["name"] == "linkerd-proxy")
    environment = {each["name"]: each.get("value") for each in proxy["env"]}
    return patch["/metadata/annotations"], environment, decision.warnings


def test_a_pod_of_an_installation_without_a_collector_has_nothing_of_tracing_in_it() -> None:
    annotations, environment, warnings = injected(CONFIG)
    assert not {COLLECTOR, SAMPLING} & annotations.keys()
    assert not [name for name in environment if "TRACING" in name or "OTEL" in name]
    assert warnings == ()


def test_spans_say_which_workload_and_pod_in_which_cluster_made_them() -> None:
    _, environment, _ = injected(TRACING)
    assert environment["ISTHMUS_TRACING_COLLECTOR"] == "otel.observability:4317"
    assert dict(part.split("=") for part in environment["OTEL_RESOURCE_ATTRIBUTES"].split(",")) == {
        "service.name": "web",
        "service.namespace": "$(ISTHMUS_POD_NAMESPACE)",
        "k8s.deployment.name": "web",
        "k8s.namespace.name": "$(ISTHMUS_POD_NAMESPACE)",
        "k8s.pod.name": "$(ISTHMUS_POD_NAME)",
        "k8s.cluster.name": "td.example",
    }
    # The kubelet puts in only what stands before.
    assert [*environment].index("OTEL_RESOURCE_ATTRIBUTES") > [*environment].index("ISTHMUS_POD_NAME")
    named = injected(replace(TRACING, tracing_cluster_name="west"))[1]["OTEL_RESOURCE_ATTRIBUTES"]
    assert "k8s.cluster.name=west" in named.split(",")


@pytest.mark.parametrize(
    ("pod", "namespace", "expected"),
    [({}, {}, "1"), ({}, {SAMPLING: "50"}, "50"), ({SAMPLING: "off"}, {SAMPLING: "50"}, "off")],
)
def test_the_pod_goes_before_its_namespace_and_that_before_the_installation(
    pod: dict[str, str], namespace: dict[str, str], expected: str
) -> None:
    annotations, environment, _ = injected(TRACING, pod=pod, namespace=namespace)
    assert annotations[SAMPLING] == expected
    assert environment["ISTHMUS_TRACING_COLLECTOR"], "so that it can be switched on without a restart"


def test_nobody_but_the_installation_says_where_spans_go() -> None:
    annotations, environment, warnings = injected(TRACING, pod={COLLECTOR: "elsewhere:4317"})
    assert annotations[COLLECTOR] == environment["ISTHMUS_TRACING_COLLECTOR"] == "otel.observability:4317"
    assert warnings == (f"the annotation {COLLECTOR} has no effect: the installation names one",)


def test_sampling_without_a_collector_is_said_to_be_in_vain() -> None:
    (warning,) = injected(CONFIG, namespace={SAMPLING: "5"})[2]
    assert warning.endswith("has no effect: the control plane was installed without tracing.collector")


@pytest.mark.parametrize("text", ["101", "100.5", "-1", "1e1", "half", "", "0.00001", "٣"])
def test_what_is_no_percentage_refuses_the_pod_and_silences_one_that_is_there(text: str) -> None:
    annotations = POD["metadata"]["annotations"] | {SAMPLING: text}
    pod = POD | {"metadata": POD["metadata"] | {"annotations": annotations}}
    decision = decide(pod, namespace="shop", namespace_annotations={}, config=TRACING)
    assert isinstance(decision, Refuse)
    assert "it must be a percentage, 0 to 100" in decision.message
    assert tracing.sampling({COLLECTOR: "otel:4317", SAMPLING: text}) is None


def test_a_percentage_is_a_share_of_a_million_where_there_is_a_collector() -> None:
    shares = {"0": 0, "0.0001": 1, "1": 10_000, "12.5": 125_000, "100": 1_000_000, " 100.0000 ": 1_000_000, "off": None}
    assert {text: tracing.sampling({COLLECTOR: "otel:4317", SAMPLING: text}) for text in shares} == shares
    assert tracing.sampling({SAMPLING: "100"}) is None
