"""The kinds of resources that numbers are told for, and how people write them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`name` is Linkerd's canonical name; `short` is what stands before a name where kinds are mixed.

    `target_label` is the label by which an outbound metric names such a destination. `api` is how the API server
    addresses it, None for what is no object.
    """

    name: str
    short: str
    aliases: tuple[str, ...]
    target_label: str
    api: tuple[str, str, str] | None = None
    workload: bool = True

    @property
    def namespaced(self) -> bool:
        return self.name != "namespace"


def _apps(kind: str) -> tuple[str, str, str]:
    return "apps/v1", kind, f"{kind.lower()}s"


KINDS: Final = (
    Kind(
        name="namespace",
        short="ns",
        aliases=("namespaces",),
        target_label="dst_namespace",
        api=("v1", "Namespace", "namespaces"),
    ),
    Kind(
        name="cronjob",
        short="cj",
        aliases=("cronjobs",),
        target_label="dst_cronjob",
        api=("batch/v1", "CronJob", "cronjobs"),
    ),
    Kind(name="daemonset", short="ds", aliases=("daemonsets",), target_label="dst_daemonset", api=_apps("DaemonSet")),
    Kind(
        name="deployment",
        short="deploy",
        aliases=("deployments",),
        target_label="dst_deployment",
        api=_apps("Deployment"),
    ),
    Kind(name="job", short="job", aliases=("jobs",), target_label="dst_job", api=("batch/v1", "Job", "jobs")),
    Kind(name="pod", short="po", aliases=("pods",), target_label="dst_pod", api=("v1", "Pod", "pods")),
    Kind(
        name="replicaset", short="rs", aliases=("replicasets",), target_label="dst_replicaset", api=_apps("ReplicaSet")
    ),
    Kind(
        name="replicationcontroller",
        short="rc",
        aliases=("replicationcontrollers",),
        target_label="dst_replicationcontroller",
        api=("v1", "ReplicationController", "replicationcontrollers"),
    ),
    Kind(
        name="statefulset",
        short="sts",
        aliases=("statefulsets",),
        target_label="dst_statefulset",
        api=_apps("StatefulSet"),
    ),
    Kind(
        name="service",
        short="svc",
        aliases=("services",),
        target_label="dst_service",
        api=("v1", "Service", "services"),
        workload=False,
    ),
    Kind(name="authority", short="au", aliases=("authorities",), target_label="authority", workload=False),
    Kind(
        name="trafficsplit",
        short="ts",
        aliases=("trafficsplits",),
        target_label="",
        api=("split.smi-spec.io/v1alpha2", "TrafficSplit", "trafficsplits"),
        workload=False,
    ),
)
ALL: Final = "all"
IN_ALL: Final = tuple(kind.name for kind in KINDS if kind.name not in ("namespace", "authority"))
"""What `all` stands for: what lies in a namespace."""
WORKLOADS: Final = frozenset(kind.name for kind in KINDS if kind.workload)
NOT_SERVED: Final = {
    name: "policies are not served by this mesh"
    for names in (
        ("authorizationpolicy", "authorizationpolicies", "azp", "authzpolicy"),
        ("server", "servers", "srv", "serverauthorization", "serverauthorizations", "saz", "serverauthz"),
        ("httproute", "httproutes"),
    )
    for name in names
}
_BY_NAME: Final = {alias: kind for kind in KINDS for alias in (kind.name, kind.short, *kind.aliases)}


class Resource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind and a name of it; no name means all of the kind."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{known(self.kind).short}/{self.name}" if self.name else known(self.kind).short


class UnknownResourceError(ValueError):
    """What was written names no resource; the message is a sentence for a person."""


def known(text: str) -> Kind:
    """The kind that people mean by a word."""
    found = _BY_NAME.get(text.lower())
    if found:
        return found
    why = NOT_SERVED.get(text.lower())
    listed = ", ".join(sorted(kind.short for kind in KINDS))
    raise UnknownResourceError(
        f'"{text}" has no numbers here: {why}.' if why else f'"{text}" is no kind of resource; there are {listed}.'
    )


def parse(words: Sequence[str]) -> tuple[Resource, ...]:
    """`deploy`, `deploy/web`, `deploy web api`, `deploy/web sts/db`, `all`."""
    if not words:
        raise UnknownResourceError("Name a resource, like deploy or deploy/web.")
    if any("/" in word for word in words):
        return tuple(dict.fromkeys(_one(word) for word in words))
    first, *rest = words
    if first.lower() == ALL:
        if rest:
            raise UnknownResourceError("`all` takes no names.")
        return tuple(Resource(name) for name in IN_ALL)
    kind = known(first).name
    return tuple(dict.fromkeys(Resource(kind, name) for name in rest)) or (Resource(kind),)


def parse_one(text: str) -> Resource:
    """`deploy/web` or `deploy`, as `--to` and `--from` take it."""
    (found,) = parse([text])
    return found


def _one(word: str) -> Resource:
    kind, _, name = word.partition("/")
    if kind.lower() == ALL:
        raise UnknownResourceError("`all` takes no names.")
    if not name or "/" in name:
        raise UnknownResourceError(f'"{word}" names no resource; write it like deploy/web.')
    return Resource(known(kind).name, name)
