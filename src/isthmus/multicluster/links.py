"""A Link as this room reads it, and which of several Links to one target counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from isthmus import names
from isthmus.kube import durations
from isthmus.kube.kinds import Object
from isthmus.kube.meta import Key, key_of
from isthmus.multicluster.objects import Service
from isthmus.multicluster.selectors import Selector, exported
from isthmus.resources import gateways

Mode = Literal["gateway", "flat"]
"""How a mirror's clients reach its pods: through the target's gateway, or dialling them directly."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How the target's gateway is probed; times in seconds."""

    path: str = "/ready"
    port: int = names.GATEWAY_PROBE_PORT
    period: float = 3.0
    timeout: float = 30.0
    threshold: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The parts of a Link that decide what is made; `problems` are sentences about fields that cannot be used."""

    namespace: str
    name: str
    uid: str
    created: str
    deleting: bool
    target: str
    domain: str
    linkerd_namespace: str
    credentials_secret: str
    gateways: tuple[gateways.Host, ...]
    gateway_service: Key | None
    """The Service of the target whose outside addresses count instead of `gateways`."""
    gateway_identity: str
    probe: Probe
    selector: Selector | None
    remote_discovery_selector: Selector | None = None
    federated_selector: Selector | None = None
    excluded_labels: tuple[str, ...] = ()
    excluded_annotations: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    finalizers: tuple[str, ...] = field(default=(), compare=False)
    resource_version: str = field(default="", compare=False)
    """Not compared: two Links are equal when the same is to be done about them."""

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    @property
    def gateway_hosts(self) -> tuple[str, ...]:
        return tuple(gateway.host for gateway in self.gateways)

    @property
    def gateway_port(self) -> int:
        """That of the first host; each has its own."""
        return self.gateways[0].port if self.gateways else names.GATEWAY_PORT

    def mode(self, service: Service) -> Mode | None:
        """How a service of the target is mirrored, None if it is not. Who asks for flat gets it, gateway or not."""
        if exported(self.remote_discovery_selector, service):
            return "flat"
        return "gateway" if exported(self.selector, service) else None

    def joins(self, service: Service) -> bool:
        """Whether a service of the target is a member of a federated service."""
        return exported(self.federated_selector, service)

    @property
    def reference(self) -> Object:
        """For events."""
        return {
            "apiVersion": f"{names.LINK_GROUP}/{names.LINK_VERSION}",
            "kind": "Link",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }


def parse(item: Object) -> Link:
    """Never fails: what cannot be used becomes a problem, and its default is taken."""
    metadata: Mapping[str, Any] = item.get("metadata") or {}
    spec: Mapping[str, Any] = item.get("spec") or {}
    problems: list[str] = []
    namespace, name = key_of(item)
    port = _port(spec.get("gatewayPort"), names.GATEWAY_PORT, "spec.gatewayPort", problems)
    hosts, unusable = gateways.parse(str(spec.get("gatewayAddress") or ""), port)
    problems += [f"spec.gatewayAddress: {problem}" for problem in unusable]
    target = str(spec.get("targetClusterName") or name)
    return Link(
        namespace=namespace,
        name=name,
        uid=metadata.get("uid") or "",
        created=metadata.get("creationTimestamp") or "",
        deleting=bool(metadata.get("deletionTimestamp")),
        target=target,
        domain=spec.get("targetClusterDomain") or "cluster.local",
        linkerd_namespace=spec.get("targetClusterLinkerdNamespace") or names.CONTROL_PLANE_NAMESPACE,
        credentials_secret=spec.get("clusterCredentialsSecret") or f"{names.CREDENTIALS_SECRET_PREFIX}{target}",
        gateways=hosts,
        gateway_service=_service(spec.get("gatewayService"), problems) if hosts else None,
        gateway_identity=spec.get("gatewayIdentity") or "",
        probe=_probe(spec.get("probeSpec") or {}, problems),
        selector=spec.get("selector"),
        remote_discovery_selector=spec.get("remoteDiscoverySelector"),
        federated_selector=spec.get("federatedServiceSelector"),
        excluded_labels=tuple(spec.get("excludedLabels") or ()),
        excluded_annotations=tuple(spec.get("excludedAnnotations") or ()),
        problems=tuple(problems),
        finalizers=tuple(metadata.get("finalizers") or ()),
        resource_version=metadata.get("resourceVersion") or "",
    )


def _service(text: Any, problems: list[str]) -> Key | None:
    if text in (None, ""):
        return None
    namespace, _, name = str(text).partition("/")
    if namespace and name and "/" not in name:
        return namespace, name
    problems.append(f"spec.gatewayService is {str(text)[:40]!r}, which is not <namespace>/<name>; it is ignored.")
    return None


def _probe(spec: Mapping[str, Any], problems: list[str]) -> Probe:
    default = Probe()
    return Probe(
        path=spec.get("path") or default.path,
        port=_port(spec.get("port"), default.port, "spec.probeSpec.port", problems),
        period=_seconds(spec.get("period"), default.period, "spec.probeSpec.period", problems),
        timeout=_seconds(spec.get("timeout"), default.timeout, "spec.probeSpec.timeout", problems),
        threshold=_count(spec.get("failureThreshold"), default.threshold, problems),
    )


def _port(text: Any, default: int, field: str, problems: list[str]) -> int:
    if text in (None, ""):
        return default
    if 0 < _number(text) < 65536:
        return _number(text)
    problems.append(f"{field} is {str(text)[:40]!r}, which is not a port number; {default} is used.")
    return default


def _number(text: Any) -> int:
    """The number that is written there; 0 for anything else, also for more digits than anybody means."""
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < _DIGITS else 0


def _count(text: Any, default: int, problems: list[str]) -> int:
    if text in (None, ""):
        return default
    if _number(text) > 0:
        return _number(text)
    problems.append(f"spec.probeSpec.failureThreshold is {str(text)[:40]!r}, which is not a count; {default} is used.")
    return default


_SHORTEST: Final = 0.1
_DIGITS: Final = 10


def _seconds(text: Any, default: float, field: str, problems: list[str]) -> float:
    if text in (None, ""):
        return default
    try:
        return max(durations.parse(str(text)).total_seconds(), _SHORTEST)
    except ValueError:
        problems.append(f"{field} is {str(text)[:40]!r}, which is not a time such as 3s; {default:g}s is used.")
        return default


def older_link(link: Link, links: Iterable[Link]) -> Link | None:
    """The Link to the same target that counts instead of this one: the oldest that is not being deleted."""
    rivals = [other for other in links if other.target == link.target and not other.deleting]
    first = min(rivals, key=lambda other: (other.created, other.key), default=None)
    return None if first is None or first.key == link.key else first
