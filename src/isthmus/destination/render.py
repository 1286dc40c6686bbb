"""From model values to the pieces that are served: the only place that knows both `mesh` and `envoy`."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus import names
from isthmus.destination import wire
from isthmus.destination.wire import Served
from isthmus.envoy import absent as nothing
from isthmus.envoy import admission, gateway, listeners, outbound, resources, tls
from isthmus.kube import pki
from isthmus.mesh.model import ExportCluster, GatewayCluster, OutboundCluster, ProxyConfig, Trust

Model = OutboundCluster | GatewayCluster | ExportCluster | Trust | ProxyConfig


def render(model: Model) -> tuple[Served, ...]:
    """Every resource that a value stands for: a destination is a cluster and its endpoints."""
    match model:
        case OutboundCluster():
            messages: Iterable[Any] = (outbound.cluster(model), outbound.load_assignment(model))
        case GatewayCluster():
            messages = (gateway.cluster(model), gateway.load_assignment(model))
        case ExportCluster():
            messages = (gateway.export(model),)
        case Trust():
            inbound = model.name == names.TRUST_INBOUND_SECRET
            messages = (tls.trust(model), admission.rules(model)) if inbound else (tls.trust(model),)
        case ProxyConfig():
            messages = listeners.listeners(model)
    provisional = isinstance(model, OutboundCluster) and model.provisional
    return tuple(wire.serve(resources.encode(message), provisional=provisional) for message in messages)


@lru_cache(maxsize=1024)
def absent(name: str) -> Served:
    """The answer to a cluster name that means nothing (any more)."""
    return wire.serve(resources.encode(nothing.cluster(name)))


@lru_cache(maxsize=256)
def usable_roots(text: str) -> str | None:
    """The certificates of a bundle, each once, in one canonical form; None if there is none that can be read."""
    try:
        certificates = x509.load_pem_x509_certificates(text.encode())
    except pki.UNREADABLE:
        return None
    return "".join(sorted({each.public_bytes(Encoding.PEM).decode() for each in certificates})) or None
