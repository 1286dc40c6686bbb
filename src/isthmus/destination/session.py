"""One delta ADS stream, without I/O: requests and changes in, response bytes out.

Theory of operation. A stream subscribes to resources by type and name, or to all of a type. For each subscribed name
the session remembers what the proxy was last told: nothing yet, a version, or that there is no such resource. Whenever
a name is looked at (it was subscribed, or what it depends on changed) the table below decides what to say.

Rules of the protocol that matter here:
1. A subscription must be answered, even with "removed", or the proxy waits for it; and a name that is subscribed again
   must be answered again, since the proxy may have dropped what it had.
2. A request with a nonce acknowledges or refuses that response; it may subscribe at the same time. After a refusal the
   proxy keeps what it had, and the same bytes are not sent again.
3. On a new stream the proxy says which versions it still has; those need not be sent.
4. A first request of a type without names asks for all of that type; so does the name `*`.
5. A proxy puts a changed cluster into use only when it hears that cluster's endpoints anew, and does not ask for them:
   they follow each change of a cluster, changed or not.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Protocol

from isthmus.destination import wire
from isthmus.destination.wire import Served

log = logging.getLogger(__name__)


class Unanswered(Enum):
    """Not a resource: there is none, or it is not known yet."""

    MISSING = auto()
    PENDING = auto()


MISSING: Final = Unanswered.MISSING
PENDING: Final = Unanswered.PENDING
Answer = Served | Unanswered


class Answers(Protocol):
    """Where a session finds resources, and whom it tells what it wants to hear about."""

    def subscribe(self, type_url: str, name: str) -> None: ...

    def unsubscribe(self, type_url: str, name: str) -> None: ...

    def answer(self, type_url: str, name: str) -> Answer:
        """The resource now; only asked for subscribed names."""

    def everything(self, type_url: str) -> tuple[str, ...]:
        """The names of all resources of a type that a proxy may ask for without naming them."""

    def offered(self, type_url: str, names: Iterable[str]) -> list[str]:
        """Which of these are to be told although they are not subscribed (any more)."""

    def surplus(self, type_url: str) -> list[str]:
        """Subscribed names that are to be forgotten: somebody makes the proxy ask for more and more."""


class Told(Enum):
    """What the proxy knows of a name."""

    NOTHING = auto()
    ABSENT = auto()
    VERSION = auto()


class Says(Enum):
    """What the answer is, compared with what the proxy was told."""

    SAME = auto()
    OTHER = auto()
    PROVISIONAL = auto()
    MISSING = auto()
    PENDING = auto()


class Action(Enum):
    SEND = auto()
    REMOVE = auto()
    SILENCE = auto()


ACTIONS: Final = {
    (Told.NOTHING, Says.OTHER): Action.SEND,
    (Told.NOTHING, Says.PROVISIONAL): Action.SEND,
    (Told.NOTHING, Says.MISSING): Action.REMOVE,
    (Told.NOTHING, Says.PENDING): Action.SILENCE,
    (Told.ABSENT, Says.OTHER): Action.SEND,
    (Told.ABSENT, Says.PROVISIONAL): Action.SEND,
    (Told.ABSENT, Says.MISSING): Action.SILENCE,
    (Told.ABSENT, Says.PENDING): Action.SILENCE,
    (Told.VERSION, Says.SAME): Action.SILENCE,
    (Told.VERSION, Says.OTHER): Action.SEND,
    (Told.VERSION, Says.MISSING): Action.REMOVE,
    # What a proxy has stays good while nothing better is known: also what another life of this process told it.
    (Told.VERSION, Says.PROVISIONAL): Action.SILENCE,
    (Told.VERSION, Says.PENDING): Action.SILENCE,
}

_ABSENT: Final = ""
"""Told that there is none; versions are never empty."""
_WILDCARD: Final = "*"
_REMEMBERED_NONCES: Final = 16


@dataclass(slots=True)
class _Type:
    """Subscriptions of one resource type: name -> version last told, None before the first answer."""

    told: dict[str, str | None] = field(default_factory=dict)
    wildcard: bool = False


class Session:
    """The state of one stream."""

    def __init__(self, answers: Answers, peer: str) -> None:
        self._answers = answers
        self._peer = peer
        self._types: dict[str, _Type] = {}
        self._sent: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._endpoints_due: set[str] = set()
        self._nonce = 0
        self.refused = 0
        """How many responses the proxy refused."""

    def receive(self, request: Any) -> list[bytes]:
        """What to send back to a `DeltaDiscoveryRequest`: at most one response."""
        type_url = request.type_url
        if request.response_nonce:
            self._acknowledged(request)
        first = type_url not in self._types
        state = self._types.setdefault(type_url, _Type())
        for name in request.resource_names_unsubscribe:
            self._unsubscribe(state, type_url, name)
        fresh = self._subscribe(state, request, first=first)
        return self._respond(type_url, state, fresh)

    def refresh(self, names: Iterable[tuple[str, str]]) -> list[bytes]:
        """What to send because these types and names may have changed: one response for each type at most."""
        by_type: dict[str, set[str]] = {}
        for type_url, name in names:
            by_type.setdefault(type_url, set()).add(name)
        responses: list[bytes] = []
        if wire.CLUSTER in by_type:
            by_type.setdefault(wire.ENDPOINTS, set())
        for type_url in sorted(by_type, key=_order):
            state = self._types.get(type_url)
            if state is None:
                continue
            if state.wildcard:
                by_type[type_url].update(self._join(state, type_url, self._answers.everything(type_url)))
            self._join(state, type_url, self._answers.offered(type_url, by_type[type_url] - state.told.keys()))
            if type_url == wire.ENDPOINTS:
                by_type[type_url] |= self._endpoints_due
            responses += self._respond(type_url, state, sorted(by_type[type_url] & state.told.keys()))
        self._endpoints_due.clear()
        return responses

    def close(self) -> None:
        """Forget all subscriptions."""
        for type_url, state in self._types.items():
            for name in state.told:
                self._answers.unsubscribe(type_url, name)
        self._types.clear()

    def _subscribe(self, state: _Type, request: Any, *, first: bool) -> list[str]:
        """Subscribe to what the request names; returns the names that must be answered."""
        type_url = request.type_url
        named = list(request.resource_names_subscribe)
        if _WILDCARD in named or (first and not named):
            state.wildcard = True
            named = [name for name in named if name != _WILDCARD] + list(self._answers.everything(type_url))
        fresh = list(dict.fromkeys(named))
        self._join(state, type_url, fresh)
        known = request.initial_resource_versions if first else {}
        for name in fresh:
            state.told[name] = known.get(name)
        return fresh

    def _join(self, state: _Type, type_url: str, named: Iterable[str]) -> list[str]:
        joined = [name for name in named if name not in state.told]
        for name in joined:
            state.told[name] = None
            self._answers.subscribe(type_url, name)
        return joined

    def _unsubscribe(self, state: _Type, type_url: str, name: str) -> None:
        if name == _WILDCARD:
            state.wildcard = False
            for each in self._answers.everything(type_url):
                self._unsubscribe(state, type_url, each)
        elif name in state.told:
            del state.told[name]
            self._answers.unsubscribe(type_url, name)

    def _respond(self, type_url: str, state: _Type, names: Iterable[str]) -> list[bytes]:
        resources: list[Served] = []
        removed: list[str] = []
        for name in names:
            answer = self._answers.answer(type_url, name)
            match ACTIONS[_told(state.told[name]), _says(answer, state.told[name])]:
                case Action.SEND:
                    assert isinstance(answer, Served)
                    if type_url == wire.CLUSTER and state.told[name]:
                        self._tell_endpoints_again(name)
                    state.told[name] = answer.version
                    resources.append(answer)
                case Action.REMOVE:
                    state.told[name] = _ABSENT
                    removed.append(name)
                case Action.SILENCE:
                    pass
        removed += self._forget(state, type_url, kept={each.name for each in resources})
        if not resources and not removed:
            return []
        self._nonce += 1
        nonce = str(self._nonce)
        self._sent[nonce] = (*(each.name for each in resources), *removed)
        if len(self._sent) > _REMEMBERED_NONCES:
            self._sent.popitem(last=False)
        return [wire.response(type_url, nonce, resources, removed)]

    def _tell_endpoints_again(self, cluster: str) -> None:
        endpoints = self._types.get(wire.ENDPOINTS)
        if endpoints is not None and endpoints.told.get(cluster):
            endpoints.told[cluster] = None
            self._endpoints_due.add(cluster)

    def _forget(self, state: _Type, type_url: str, *, kept: set[str]) -> list[str]:
        """End the subscriptions of which there are too many; a name is not sent and removed in one response."""
        forgotten = [name for name in self._answers.surplus(type_url) if name not in kept]
        for name in forgotten:
            self._unsubscribe(state, type_url, name)
        return forgotten

    def _acknowledged(self, request: Any) -> None:
        names = self._sent.pop(request.response_nonce, ())
        if not request.HasField("error_detail"):
            return
        self.refused += 1
        log.warning(
            "%s refused %s %s and keeps what it had: %s",
            self._peer,
            request.type_url.rpartition(".")[2],
            ", ".join(names) or f"(response {request.response_nonce})",
            request.error_detail.message,
        )


def _order(type_url: str) -> int:
    return wire.ORDER.index(type_url) if type_url in wire.ORDER else len(wire.ORDER)


def _told(version: str | None) -> Told:
    if version is None:
        return Told.NOTHING
    return Told.VERSION if version else Told.ABSENT


def _says(answer: Answer, version: str | None) -> Says:
    if isinstance(answer, Served):
        if answer.provisional:
            return Says.PROVISIONAL
        return Says.SAME if answer.version == version else Says.OTHER
    return Says.MISSING if answer is MISSING else Says.PENDING
