"""What Prometheus is told to scrape."""

import dataclasses

import pytest
from tests.viz import views

from isthmus.kube.meta import Meta, Owner
from isthmus.resources.core import Container, ContainerPort, Pod, PodSpec, PodStatus
from isthmus.viz import targets
from isthmus.viz.workloads import target


def test_a_proxy_is_scraped_under_the_names_of_its_workload() -> None:
    pod = dataclasses.replace(views.pod("web-1", "web"), workloads={"pod": "web-1", "namespace": "default", "job": "j"})
    unmeshed = views.pod("old", "old", meshed=False)
    assert targets.of_job("linkerd-proxy", [(Pod(), pod), (Pod(), unmeshed)]) == [
        {
            "targets": ["10.0.0.1:4191"],
            "labels": {"namespace": "default", "pod": "web-1", "k8s_job": "j", "control_plane_ns": "linkerd"},
        }
    ]


def test_control_plane_processes_are_scraped_where_they_say() -> None:
    pod = Pod(
        metadata=Meta(name="dst-1", namespace="linkerd"),
        spec=PodSpec(containers=(Container(name="destination", ports=(ContainerPort(9990, "admin-http"),)),)),
        status=PodStatus(pod_ip="10.0.0.9"),
    )
    found = targets.of_job("linkerd-controller", [(pod, target(pod, {}))])
    assert found == [
        {"targets": ["10.0.0.9:9990"], "labels": {"namespace": "linkerd", "pod": "dst-1", "component": "destination"}}
    ]
    assert targets.of_job("linkerd-multicluster-controller", [(pod, target(pod, {}))]) == []
    with pytest.raises(ValueError, match="there is no job other"):
        targets.of_job("other", [])


def test_a_pod_is_known_by_all_that_it_is_a_replica_of() -> None:
    owner = Owner(kind="ReplicaSet", name="web-5d9")
    metadata = Meta(name="web-5d9-x", namespace="d", labels={"pod-template-hash": "5d9"}, owner_references=(owner,))
    assert target(Pod(metadata=metadata), {}).workloads == {
        "pod": "web-5d9-x", "namespace": "d", "replicaset": "web-5d9", "deployment": "web",
    }  # fmt: skip
    job = Meta(name="tick-1-x", namespace="d", owner_references=(Owner(kind="Job", name="tick-1"),))
    found = target(Pod(metadata=job), {("d", "tick-1"): "tick"})
    assert found.workloads == {"pod": "tick-1-x", "namespace": "d", "job": "tick-1", "cronjob": "tick"}
    assert found.workload == ("cronjob", "tick")
