"""Links as the page shows them, from what their status says. Pure, but for the dates read from certificates."""

from functools import lru_cache
from typing import Final

import msgspec
from cryptography import x509

from isthmus import names
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Meta
from isthmus.viz.web_picture import ConditionPicture, LinkPicture, MirrorPicture


class _Reference(msgspec.Struct, frozen=True, gc=False):
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else ""


class _Condition(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    local_ref: _Reference = _Reference()


class _Mirror(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    remote_ref: _Reference = _Reference()
    conditions: tuple[_Condition, ...] = ()


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    target_cluster_name: str = ""
    cluster_credentials_secret: str = ""
    gateway_address: str = ""
    gateway_port: str = ""
    gateway_identity: str = ""


class _Status(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    conditions: tuple[_Condition, ...] = ()
    mirror_services: tuple[_Mirror, ...] = ()
    federated_services: tuple[_Mirror, ...] = ()
    latency: str = ""
    credentials_expire_at: str = ""
    trust_domain: str = ""
    trust_bundle: str = ""


class LinkObject(msgspec.Struct, frozen=True, gc=False):
    """A Link with the parts of its status that people ask about."""

    metadata: Meta = Meta()
    spec: _Spec = _Spec()
    status: _Status = _Status()


LINKS: Final = Kind(f"{names.LINK_GROUP}/{names.LINK_VERSION}", "Link", "links", LinkObject)


def picture(link: LinkObject) -> LinkPicture:
    """A Link whose controller has said nothing yet has no conditions."""
    spec, status = link.spec, link.status
    cluster = spec.target_cluster_name or link.metadata.name
    secret = spec.cluster_credentials_secret or f"{names.CREDENTIALS_SECRET_PREFIX}{cluster}"
    return LinkPicture(
        name=link.metadata.name,
        namespace=link.metadata.namespace,
        cluster=cluster,
        gateway=spec.gateway_address and f"{spec.gateway_address}:{spec.gateway_port or names.GATEWAY_PORT}",
        gateway_identity=spec.gateway_identity,
        trust_domain=status.trust_domain,
        roots_expire=roots_expire(status.trust_bundle),
        credentials_expire=status.credentials_expire_at,
        latency_ms=_milliseconds(status.latency),
        conditions=tuple(_condition(each) for each in status.conditions),
        mirrors=tuple(_mirror(each) for each in (*status.mirror_services, *status.federated_services)),
        credentials=(link.metadata.namespace, secret),
    )


def _condition(found: _Condition) -> ConditionPicture:
    return ConditionPicture(
        type=found.type,
        status=found.status,
        reason=found.reason,
        message=found.message,
        since=found.last_transition_time,
    )


def _mirror(found: _Mirror) -> MirrorPicture:
    said = found.conditions[0] if found.conditions else _Condition()
    return MirrorPicture(
        remote=str(found.remote_ref),
        local=str(said.local_ref),
        mirrored=said.status == "True",
        reason=said.reason,
        message=said.message,
    )


def _milliseconds(text: str) -> float | None:
    try:
        return float(text.removesuffix("ms"))
    except ValueError:
        return None


@lru_cache(maxsize=256)
def roots_expire(bundle: str) -> str:
    """When the first of the roots ends, RFC 3339; "" of a bundle that cannot be read."""
    if not bundle:
        return ""
    try:
        found = x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        return ""
    return min(each.not_valid_after_utc for each in found).isoformat()
