"""What `check` says about workloads that nobody else would: pods without the proxy that they ask for, and TrafficSplits
that name Services which are not there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from isthmus import names
from isthmus.cli.control_plane import NAMESPACES, PODS, SERVICES, ControlPlane, proxy_of
from isthmus.cli.health import Category, Check, Problem
from isthmus.injector.patch import ENABLED
from isthmus.kube.kinds import Object
from isthmus.kube.meta import Key
from isthmus.resources.splits import TRAFFIC_SPLITS, TrafficSplit

SHOWN: Final = 5
"""So many are named; of more, how many they are."""
ENDED: Final = ("Succeeded", "Failed")


def workloads(plane: ControlPlane) -> Category:
    """To be asked once it is known that there is an installation."""
    return Category("linkerd-workloads", [injection(plane, None), _splits(plane)])


def injection(plane: ControlPlane, namespace: str | None) -> Check:
    return Check(
        description="pods that ask for a proxy have one",
        anchor="l5d-workloads-injected",
        run=lambda: require_injection(plane, namespace),
        warning=True,
    )


def _splits(plane: ControlPlane) -> Check:
    return Check(
        description="TrafficSplits name Services that are there",
        anchor="l5d-workloads-splits",
        run=lambda: require_splits(plane),
        warning=True,
    )


def require_injection(plane: ControlPlane, namespace: str | None) -> None:
    asking = {
        item["metadata"]["name"]: _annotations(item).get(names.INJECT_ANNOTATION, "")
        for item in plane.client.list(NAMESPACES)
    }
    bare = [pod for pod in plane.client.list(PODS, namespace) if _left_out(pod, asking)]
    _complain(
        f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']} asks for a proxy ({names.INJECT_ANNOTATION}) "
        "and has none: it was made while there was no injector, or before the annotation. Restart its workload "
        "(`kubectl rollout restart`)"
        for pod in bare
    )


def _left_out(pod: Object, asking: Mapping[str, str]) -> bool:
    metadata, ended = pod["metadata"], (pod.get("status") or {}).get("phase") in ENDED
    if metadata.get("deletionTimestamp") or ended or pod["spec"].get("hostNetwork"):
        return False
    if _annotations(pod).get(names.INJECT_ANNOTATION, asking.get(metadata["namespace"], "")) not in ENABLED:
        return False
    return proxy_of(pod) is None


def require_splits(plane: ControlPlane) -> None:
    splits = plane.client.list(TRAFFIC_SPLITS)
    if not splits:
        return
    there = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in plane.client.list(SERVICES)}
    _complain(line for split in sorted(splits, key=_key) for line in _missing(split, there))


def _missing(split: TrafficSplit, there: set[Key]) -> Iterator[str]:
    namespace, name = _key(split)
    if split.root not in there:
        yield (
            f"TrafficSplit {namespace}/{name} is for Service {split.spec.service}, which is not there, so it has no "
            "effect. Correct spec.service"
        )
    for service in {each.service: None for each in split.backends if each.service != split.spec.service}:
        if (namespace, service) not in there:
            yield (
                f"TrafficSplit {namespace}/{name} names Service {service}, which is not there: nobody answers for it, "
                "also not as a standby. Correct the name, or link its cluster and export the service there"
            )


def _key(split: TrafficSplit) -> Key:
    return split.metadata.namespace, split.metadata.name


def _annotations(item: Object) -> Mapping[str, str]:
    return item["metadata"].get("annotations") or {}


def _complain(lines: Iterable[str]) -> None:
    told = list(lines)
    if told:
        more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        raise Problem("\n".join([*told[:SHOWN], *more]))
