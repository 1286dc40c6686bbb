"""What a resource that a proxy asks for depends on, and the answer to it: names in, models out."""

from typing import Final

from isthmus import names
from isthmus.destination import render, wire
from isthmus.destination.render import Model
from isthmus.destination.session import MISSING, PENDING, Unanswered
from isthmus.mesh import exports, gateways, outbound, proxies, trust
from isthmus.mesh.state import State
from isthmus.resources.keys import Key

Question = tuple[str, ...]
"""A shared name, or something about one pod."""
_LISTENERS: Final = "listeners"
_INBOUND_TRUST: Final = "inbound trust"


def of(pod: Key, type_url: str, name: str) -> Question | None:
    """What has to be known to answer for a resource; None for what can never exist."""
    if type_url == wire.LISTENER:
        return (_LISTENERS, *pod)
    if type_url == wire.EXTENSION:
        return (_INBOUND_TRUST, *pod) if name == names.TRUST_INBOUND_SECRET else None
    if type_url == wire.SECRET:
        if name == names.TRUST_INBOUND_SECRET:
            return (_INBOUND_TRUST, *pod)
        return (name,) if name == names.TRUST_OUTBOUND_SECRET else None
    if type_url not in (wire.CLUSTER, wire.ENDPOINTS):
        return None
    prefixes = (names.OUTBOUND_CLUSTER_PREFIX, names.GATEWAY_CLUSTER_PREFIX, names.EXPORT_CLUSTER_PREFIX)
    return (name,) if name.startswith(prefixes) else None


def answer(state: State, question: Question) -> Model | Unanswered:
    """The model of what was asked, by what is observed now."""
    match question:
        case (kind, namespace, name) if kind == _LISTENERS:
            return proxies.config(state, (namespace, name)) or PENDING
        case (kind, namespace, name) if kind == _INBOUND_TRUST:
            exposed = proxies.exposed(state, (namespace, name))
            return trust.inbound(state, render.usable_roots, exposed=exposed)
        case (name,):
            return _shared(state, name)
    return MISSING


def _shared(state: State, name: str) -> Model | Unanswered:
    if name == names.TRUST_OUTBOUND_SECRET:
        return trust.outbound(state, render.usable_roots)
    if name.startswith(names.GATEWAY_CLUSTER_PREFIX):
        return gateways.resolve(state, name.removeprefix(names.GATEWAY_CLUSTER_PREFIX)) or MISSING
    if name.startswith(names.EXPORT_CLUSTER_PREFIX):
        return exports.resolve(state, name) or MISSING
    found = outbound.resolve(state, name)
    if found is None:
        return MISSING
    return PENDING if isinstance(found, outbound.Pending) else found
