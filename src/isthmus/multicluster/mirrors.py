"""What a Link makes, as a pure function of what is observed: mirror Services, their EndpointSlices, the probe Service.

A mirror is called `<service>-<cluster>`, in the namespace of the exported service. Its endpoints are the addresses of
the target's gateway: none while the exported service has no ready endpoint, not ready while the gateway is down. A flat
mirror has none: proxies dial the pods themselves.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from isthmus import names
from isthmus.kube.meta import Key, Meta
from isthmus.multicluster import copies, headless
from isthmus.multicluster.links import Link, Mode
from isthmus.multicluster.objects import (
    Port,
    Readiness,
    Service,
    ServiceSpec,
    Slice,
    SliceEndpoint,
    SlicePort,
    is_mirror,
    made_for,
)
from isthmus.multicluster.plans import Export, Gateway, Outcome, Plan, Reason

PROBE_PORT_NAME: Final = "mc-probe"


def plan(
    link: Link,
    exports: Iterable[Export],
    *,
    gateway: Gateway | None,
    local: Mapping[Key, Service],
    namespaces: Collection[str],
    with_headless: bool = True,
) -> Plan:
    """What should exist now. `local` are the Services of this cluster, mirrors among them; others are never touched."""
    services: dict[Key, Service] = {}
    slices: dict[Key, Slice] = {}
    outcomes: list[Outcome] = []
    roots: list[tuple[Export, Outcome]] = []
    for export in sorted(exports, key=lambda export: export.service.key):
        outcome = judge(link, export, gateway=gateway, local=local, namespaces=namespaces)
        if not outcome.mirrored:
            outcomes.append(outcome)
        elif with_headless and headless.stays_headless(export, local.get(outcome.local)):
            roots.append((export, outcome))
        else:
            mirror = mirror_service(link, export.service, outcome.local, export.mode)
            services[mirror.key] = mirror
            slices |= mirror_slices(link, mirror, gateway, export.ready) if export.mode == "gateway" else {}
            outcomes.append(outcome)
    for export, outcome in roots:
        made = _headless(link, export, outcome, gateway=gateway, local=local, taken=services)
        services |= made.services
        slices |= made.slices
        outcomes += made.outcomes
    planned = Plan(services, slices, tuple(sorted(outcomes, key=lambda outcome: outcome.remote)))
    return with_probe(planned, link, gateway=gateway, local=local, namespaces=namespaces)


def _headless(
    link: Link,
    export: Export,
    outcome: Outcome,
    *,
    gateway: Gateway | None,
    local: Mapping[Key, Service],
    taken: Mapping[Key, Service],
) -> Plan:
    """The mirror of a headless Service, and those of its pods whose names are free."""
    root = headless.root(mirror_service(link, export.service, outcome.local, export.mode))
    services, slices, refused = {root.key: root}, dict[Key, Slice](), list[str]()
    addresses: dict[str, str] = {}
    hosts = export.hosts or {}
    for hostname, ready in sorted(hosts.items()):
        pod = headless.pod_mirror(link, root, hostname)
        if not copies.fits(pod.metadata.name) or pod.key in taken or not _free(pod.key, link, local):
            refused.append(pod.metadata.name)
            continue
        services[pod.key] = pod
        slices |= mirror_slices(link, pod, gateway, ready)
        existing = local.get(pod.key)
        addresses[hostname] = existing.spec.cluster_ip if existing and not existing.headless else ""
    slices |= headless.root_slices(link, root, hosts, addresses)
    if refused:
        told = f"No mirror for {len(refused)} of its {len(hosts)} pods: the name {refused[0]} is taken or too long."
        outcome = replace(outcome, reason="Error", message=told)
    return Plan(services, slices, (outcome,))


def with_probe(
    planned: Plan,
    link: Link,
    *,
    gateway: Gateway | None,
    local: Mapping[Key, Service],
    namespaces: Collection[str],
) -> Plan:
    """The plan with the probe Service in it, which needs nothing of the target but its gateway's address."""
    probe = probe_service(link, gateway)
    free = _free(probe.key, link, local) and probe.metadata.namespace in namespaces
    if gateway is None or not free or not copies.fits(probe.metadata.name):
        return planned
    services = {**planned.services, probe.key: probe}
    return Plan(services, {**planned.slices, **probe_slices(probe, gateway)}, planned.outcomes)


def judge(
    link: Link,
    export: Export,
    *,
    gateway: Gateway | None,
    local: Mapping[Key, Service],
    namespaces: Collection[str],
) -> Outcome:
    """Whether an exported service can be mirrored, and why not."""
    namespace, name = export.service.key
    key = (namespace, f"{name}-{link.target}")

    def outcome(reason: Reason, message: str = "") -> Outcome:
        return Outcome(export.service.key, key, reason, message)

    if problem := copies.unusable(export.service, key[1]):
        return outcome(*problem)
    if namespace not in namespaces:
        return outcome(*copies.missing_namespace(namespace))
    if not _free(key, link, local):
        return outcome(
            "Error",
            f"A Service {namespace}/{key[1]} that is not a mirror of {link.target} exists already and is left alone. "
            "Rename or delete it to have this service mirrored.",
        )
    if gateway is None and export.mode == "gateway":
        return outcome(
            "Error",
            f"It is exported through a gateway, and Link {link.name} has no gatewayAddress. Link again with a gateway, "
            f"or export it with {names.EXPORTED}=remote-discovery if pods reach each other.",
        )
    return outcome("Mirrored")


def _free(key: Key, link: Link, local: Mapping[Key, Service]) -> bool:
    existing = local.get(key)
    return existing is None or is_mirror(existing, link.target)


def hold(link: Link, *, services: Mapping[Key, Service], slices: Mapping[Key, Slice], gateway: Gateway | None) -> Plan:
    """What exists already, led to where the gateway is now: for as long as the target's exports are not known."""
    kept = {key: item for key, item in services.items() if is_mirror(item, link.target)}
    mine = {key: item for key, item in slices.items() if is_mirror(item, link.target)}
    by_service: dict[Key, dict[Key, Slice]] = {}
    for key, item in mine.items():
        name = item.metadata.labels.get(names.SERVICE_NAME_LABEL, "")
        by_service.setdefault((key[0], name), {})[key] = item
    held: dict[Key, Slice] = {}
    for key, found in by_service.items():
        mirror = kept.get(key)
        endpoints = [each for item in found.values() for each in item.endpoints or ()]
        led = mirror is not None and _through_gateway(mirror) and not any(each.hostname for each in endpoints)
        known = gateway is not None and bool(gateway.addresses)
        held |= mirror_slices(link, mirror, gateway, bool(endpoints)) if mirror and known and led else found
    return Plan(kept, held, ())


def _through_gateway(mirror: Service) -> bool:
    """Whether its endpoints are the gateway's addresses; a probe Service has its own way."""
    labels, annotations = mirror.metadata.labels, mirror.metadata.annotations
    flat = names.REMOTE_DISCOVERY in labels
    return not flat and not mirror.headless and names.REMOTE_SERVICE_FQN_ANNOTATION in annotations


# --- mirrors ------------------------------------------------------------------------------------------------------
def mirror_service(link: Link, remote: Service, key: Key, mode: Mode = "gateway") -> Service:
    metadata = remote.metadata
    annotations = {
        **copies.copied(metadata.annotations, link.excluded_annotations),
        names.REMOTE_SERVICE_FQN_ANNOTATION: remote_name(link, remote),
        names.REMOTE_RESOURCE_VERSION_ANNOTATION: metadata.resource_version,
    }
    labels = copies.copied(metadata.labels, link.excluded_labels) | made_for(link.target)
    if mode == "flat":
        labels |= {names.REMOTE_DISCOVERY: link.target, names.REMOTE_SERVICE_LABEL: metadata.name}
    meta = Meta(namespace=key[0], name=key[1], labels=labels, annotations=annotations)
    return Service(meta, ServiceSpec(copies.ports(remote)))


def remote_name(link: Link, remote: Service) -> str:
    return f"{remote.metadata.name}.{remote.metadata.namespace}.svc.{link.domain}"


def mirror_slices(link: Link, mirror: Service, gateway: Gateway | None, ready: bool) -> dict[Key, Slice]:
    """The gateway's addresses, for as long as somebody behind it is ready."""
    if gateway is None:
        return {}
    numbers = _numbers(gateway)
    annotations = {
        names.REMOTE_SERVICE_FQN_ANNOTATION: mirror.metadata.annotations[names.REMOTE_SERVICE_FQN_ANNOTATION],
        names.REMOTE_GATEWAY_IDENTITY_ANNOTATION: gateway.identity,
    }
    return copies.slices(
        mirror,
        {number: tuple(SlicePort(port.name, number) for port in mirror.spec.ports) for number in numbers},
        [
            (each.port, SliceEndpoint((each.ip,), Readiness(gateway.alive and each.alive)))
            for each in (gateway.addresses if ready else ())
        ],
        labels=made_for(link.target),
        annotations=annotations,
    )


def _numbers(gateway: Gateway) -> tuple[int, ...]:
    """The ports of the gateway's addresses, the first address's first."""
    return tuple(dict.fromkeys(each.port for each in gateway.addresses)) or (names.GATEWAY_PORT,)


# --- probe --------------------------------------------------------------------------------------------------------
def probe_service(link: Link, gateway: Gateway | None) -> Service:
    """The Service that leads to the target's gateway itself, through any meshed pod's proxy.

    Where the gateway has several addresses, more ports lead to one of them each.
    """
    labels = {names.MIRRORED_GATEWAY_LABEL: "true", names.CLUSTER_NAME_LABEL: link.target}
    singles = sorted(each.probe_port for each in (gateway.addresses if gateway else ()) if each.probe_port)
    ports = [
        Port(number, name, "TCP", number)
        for number, name in [
            (link.probe.port, PROBE_PORT_NAME),
            *((number, f"{PROBE_PORT_NAME}-{number}") for number in singles),
        ]
    ]
    name = f"{names.PROBE_SERVICE_PREFIX}{link.target}"
    return Service(Meta(namespace=link.namespace, name=name, labels=labels), ServiceSpec(tuple(ports)))


def probe_slices(probe: Service, gateway: Gateway) -> dict[Key, Slice]:
    """Never marked as not ready: the probe is what finds out."""
    return copies.slices(
        probe,
        {number: tuple(SlicePort(port.name, number) for port in probe.spec.ports) for number in _numbers(gateway)},
        [(each.port, SliceEndpoint((each.ip,), Readiness(True))) for each in gateway.addresses],
        labels=probe.metadata.labels,
        annotations={names.REMOTE_GATEWAY_IDENTITY_ANNOTATION: gateway.identity},
    )
