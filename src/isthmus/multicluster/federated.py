"""Federated Services, as a pure function of all their members: `<service>-federated` is the union of all `<service>`.

Several Links make one object, so it is planned for all of them together. Ports, labels and annotations are those of the
member in this cluster, else of the one whose Link is the oldest.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from isthmus import names
from isthmus.kube.meta import Key, Meta
from isthmus.multicluster import copies
from isthmus.multicluster.links import Link
from isthmus.multicluster.objects import Service, ServiceSpec, is_federated
from isthmus.multicluster.plans import Outcome, Reason
from isthmus.multicluster.selectors import Selector, exported
from isthmus.multicluster.settings import Settings

SUFFIX: Final = "-federated"
LOCAL_MEMBERS: Final[Selector] = {"matchLabels": {names.FEDERATED: "member"}}


@dataclass(frozen=True, slots=True)
class Membership:
    """A Link, and the services of its target that are to be members; None while they are not known."""

    link: Link
    services: Mapping[Key, Service] | None


@dataclass(frozen=True, slots=True)
class Union:
    """The federated Services that should exist; what became of members, by Link, and of those of this cluster."""

    services: Mapping[Key, Service]
    outcomes: Mapping[Key, tuple[Outcome, ...]]
    local: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class _Member:
    """A member by name; `service` is None while it is not known, `cluster` is "" for this one."""

    name: str
    cluster: str
    service: Service | None
    excluded_labels: Sequence[str] = ()
    excluded_annotations: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.cluster}" if self.cluster else self.name


def is_local_member(service: Service) -> bool:
    return exported(LOCAL_MEMBERS, service)


def plan(
    memberships: Iterable[Membership],
    *,
    local: Mapping[Key, Service],
    namespaces: Collection[str],
    settings: Settings | None = None,
) -> Union:
    """What should exist now. `local` are the Services of this cluster, federated ones among them."""
    chosen = settings or Settings()
    members: dict[Key, list[_Member]] = {}
    of_links: dict[Key, tuple[Outcome, ...]] = {}
    of_local: list[Outcome] = []
    for service in sorted(filter(is_local_member, local.values()), key=lambda service: service.key):
        outcome = judge(service, local=local, namespaces=namespaces)
        of_local.append(outcome)
        if outcome.mirrored:
            member = _Member(service.key[1], "", service, chosen.excluded_labels, chosen.excluded_annotations)
            members.setdefault(outcome.local, []).append(member)
    for membership in sorted(memberships, key=lambda each: (each.link.created, each.link.key)):
        link = membership.link
        services = membership.services if link.federated_selector else {}
        if services is None:
            for key, name in _held(link, local):
                members.setdefault(key, []).append(_Member(name, link.target, None))
            continue
        outcomes = [judge(services[key], local=local, namespaces=namespaces) for key in sorted(services)]
        of_links[link.key] = tuple(outcomes)
        for outcome in outcomes:
            if outcome.mirrored:
                service = services[outcome.remote]
                member = _Member(service.key[1], link.target, service, link.excluded_labels, link.excluded_annotations)
                members.setdefault(outcome.local, []).append(member)
    return Union(
        {key: federated(key, found, local.get(key)) for key, found in members.items()}, of_links, tuple(of_local)
    )


def judge(service: Service, *, local: Mapping[Key, Service], namespaces: Collection[str]) -> Outcome:
    """Whether a service can be a member, and why not."""
    namespace, name = service.key
    key = (namespace, f"{name}{SUFFIX}")

    def outcome(reason: Reason, message: str = "") -> Outcome:
        return Outcome(service.key, key, reason, message)

    if service.headless:
        return outcome("InvalidService", "A headless Service cannot be a member of a federated service.")
    if problem := copies.unusable(service, key[1]):
        return outcome(*problem)
    if namespace not in namespaces:
        return outcome(*copies.missing_namespace(namespace))
    existing = local.get(key)
    if existing is not None and not is_federated(existing):
        return outcome(
            "Error",
            f"A Service {namespace}/{key[1]} that is not a federated one exists already and is left alone. "
            "Rename or delete it to have this service federated.",
        )
    return outcome("Mirrored")


def _held(link: Link, local: Mapping[Key, Service]) -> Iterable[tuple[Key, str]]:
    """Where a target whose services are not known yet was a member before: it stays one until then."""
    for key, service in local.items():
        if is_federated(service):
            for name, cluster in remote_members(service):
                if cluster == link.target:
                    yield key, name


def remote_members(service: Service) -> list[tuple[str, str]]:
    """Service and cluster of each member elsewhere."""
    parts = service.metadata.annotations.get(names.REMOTE_DISCOVERY, "").split(",")
    return [(name, cluster) for name, _, cluster in (part.partition("@") for part in parts) if name and cluster]


def federated(key: Key, members: Sequence[_Member], existing: Service | None) -> Service:
    """The union of the members, of which the first is the source of all but their names."""
    discovery = {
        names.REMOTE_DISCOVERY: ",".join(str(each) for each in members if each.cluster),
        names.LOCAL_DISCOVERY_ANNOTATION: ",".join(str(each) for each in members if not each.cluster),
    }
    made = {name: text for name, text in discovery.items() if text}
    source = members[0]
    if source.service is None:
        return _unchanged_but(made, existing or Service(Meta(namespace=key[0], name=key[1])))
    metadata = source.service.metadata
    annotations = {
        **copies.copied(metadata.annotations, source.excluded_annotations),
        **made,
        names.SOURCE_ANNOTATION: f"{source}/{metadata.resource_version}",
    }
    labels = copies.copied(metadata.labels, source.excluded_labels) | {names.MIRRORED_SERVICE_LABEL: "true"}
    meta = Meta(namespace=key[0], name=key[1], labels=labels, annotations=annotations)
    return Service(meta, ServiceSpec(copies.ports(source.service)))


def _unchanged_but(discovery: Mapping[str, str], existing: Service) -> Service:
    old = existing.metadata
    kept = {name: text for name, text in old.annotations.items() if not name.startswith(names.DISCOVERY_PREFIX)}
    meta = Meta(namespace=old.namespace, name=old.name, labels=old.labels, annotations={**kept, **discovery})
    return Service(meta, ServiceSpec(copies.ports(existing)))
