"""Observed state to resources by name: made when somebody asks, kept while somebody listens, remade when they change.

Every answer is traced: the topics it read are the only changes that make it be asked again. So one changed endpoint
costs work for the destinations it serves and the proxies that use them, and nothing else.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from weakref import WeakSet

from isthmus import names
from isthmus.destination import render, wire
from isthmus.destination.render import Model
from isthmus.destination.session import MISSING, PENDING, Answer, Unanswered
from isthmus.destination.wire import Served
from isthmus.mesh import exports, failback, gateways, outbound, proxies, splits, trust
from isthmus.mesh.model import OutboundCluster
from isthmus.mesh.state import RemoteKey, State, Topic
from isthmus.resources.keys import Key

log = logging.getLogger(__name__)

UNREACHABLE_LIMIT: Final = 1024
"""So many names that lead nowhere a gateway may ask for; of more, the oldest are forgotten.

Linked clusters choose these names, and each costs memory here and in the gateway for as long as it is known. An honest
client asks for one only where a pod has just gone. A proxy does not ask again for what it was told is not there, so
from then on the gateway is offered every endpoint that becomes reachable: names cannot be spoiled for later.
"""
LISTENER_NAMES: Final = ("outbound", "inbound", "tunnel")

Question = tuple[str, ...]
"""What an entry answers: a shared name, or something about one pod."""
_LISTENERS: Final = "listeners"
_INBOUND_TRUST: Final = "inbound trust"
_SHARED_MODELS: Final = 256


@dataclass(slots=True)
class _Entry:
    """One answer, and who listens to it."""

    question: Question
    model: Model | Unanswered = PENDING
    topics: frozenset[Topic] = frozenset()
    served: Mapping[tuple[str, str], Served] = field(default_factory=dict)
    listeners: dict[tuple["Proxy", str, str], None] = field(default_factory=dict)

    def tell(self) -> None:
        """Its listeners hear that there is news."""
        for proxy, type_url, name in self.listeners:
            proxy.changed(type_url, name)


class World:
    """The resources of all proxies. Not thread-safe: everything happens on one event loop."""

    def __init__(
        self,
        state: State,
        *,
        remote_wanted: Callable[[RemoteKey], None] = lambda key: None,
        remote_unwanted: Callable[[RemoteKey], None] = lambda key: None,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """`later` calls after so many seconds; by default the event loop does."""
        self.state = state
        self._remote_wanted = remote_wanted
        self._remote_unwanted = remote_unwanted
        self._entries: dict[Question, _Entry] = {}
        self._dependents: dict[Topic, dict[Question, None]] = {}
        self._rendered: dict[Model, tuple[Served, ...]] = {}
        self._scheduled = False
        self._later = later or (lambda seconds, call: asyncio.get_running_loop().call_later(seconds, call))
        self._returning: dict[Question, None] = {}
        """Destinations whose traffic is on its way back to whom it left."""
        self.offered_to: WeakSet[Proxy] = WeakSet()
        """Gateways that were made to forget names."""

    # --- change -------------------------------------------------------------------------------------------------

    def touched(self, *_: object) -> None:
        """The state changed; proxies hear of it once the event loop has handled what came in together."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Ask again what depends on the changes, and wake the proxies whose bytes differ."""
        self._scheduled = False
        questions: dict[Question, None] = {}
        changed = self.state.take_changed()
        if self.offered_to:
            self._offer(changed)
        for topic in changed:
            questions.update(self._dependents.get(topic, ()))
        for question in questions:
            entry = self._entries.get(question)
            if entry is not None and self._ask(entry):
                entry.tell()

    def _let_in(self) -> None:
        """Whoever is coming back gets a bit more."""
        before, self._returning = self._returning, {}
        for question in before:
            entry = self._entries.get(question)
            if entry is None or not isinstance(entry.model, OutboundCluster) or not entry.model.returning:
                continue
            model = failback.advanced(entry.model)
            if self._keep(entry, model):
                entry.tell()
            if entry.model is model and model.returning:
                self._is_returning(question)

    def _offer(self, changed: Iterable[Topic]) -> None:
        services = {(topic[1], topic[2]) for topic in changed if topic[0] in ("service", "slices")}
        found = [name for key in services for name in exports.names_of(self.state, key)]
        for proxy in self.offered_to:
            proxy.offer(found)

    # --- proxies ------------------------------------------------------------------------------------------------

    def proxy(self, pod: Key, wake: Callable[[], None]) -> "Proxy":
        """A listener for one stream; `wake` is called when it has something to `take`."""
        return Proxy(self, pod, wake)

    def subscribe(self, proxy: "Proxy", type_url: str, name: str) -> None:
        question = _question(proxy.pod, type_url, name)
        if question is None:
            return
        entry = self._entries.get(question)
        if entry is None:
            entry = self._entries[question] = _Entry(question)
            self._ask(entry)
        entry.listeners[proxy, type_url, name] = None

    def unsubscribe(self, proxy: "Proxy", type_url: str, name: str) -> None:
        question = _question(proxy.pod, type_url, name)
        entry = self._entries.get(question) if question else None
        if entry is None:
            return
        entry.listeners.pop((proxy, type_url, name), None)
        if not entry.listeners:
            del self._entries[entry.question]
            self._depend(entry, frozenset())

    def answer(self, proxy: "Proxy", type_url: str, name: str) -> Answer:
        found = self._find(proxy, type_url, name)
        if found is MISSING and type_url == wire.CLUSTER:
            # "Removed" would make every later request wait for an answer that cannot come; see envoy.absent.
            return render.absent(name)
        return found

    def leads_nowhere(self, proxy: "Proxy", name: str) -> bool:
        """Whether there is no such cluster for this proxy."""
        return self._find(proxy, wire.CLUSTER, name) is MISSING

    def _find(self, proxy: "Proxy", type_url: str, name: str) -> Answer:
        question = _question(proxy.pod, type_url, name)
        entry = self._entries.get(question) if question else None
        if entry is None:
            return MISSING
        if name.startswith(names.EXPORT_CLUSTER_PREFIX) and not self._is_gateway(proxy.pod):
            log.warning("%s asked for %s, which only gateways may", "/".join(proxy.pod), name)
            return MISSING
        served = entry.served.get((type_url, name))
        if served is not None:
            return served
        return PENDING if entry.model is PENDING else MISSING

    def __len__(self) -> int:
        return len(self._entries)

    # --- answers ------------------------------------------------------------------------------------------------

    def _ask(self, entry: _Entry) -> bool:
        """Answer again; whether there is news for the listeners."""
        model, topics = self.state.trace(lambda: self._model(entry.question))
        self._depend(entry, topics)
        if isinstance(model, OutboundCluster) and isinstance(entry.model, OutboundCluster):
            model = splits.following(entry.model, model)
        if isinstance(model, OutboundCluster) and model.returning:
            self._is_returning(entry.question)
        return self._keep(entry, model)

    def _is_returning(self, question: Question) -> None:
        if not self._returning:
            self._later(failback.STEP_SECONDS, self._let_in)
        self._returning[question] = None

    def _keep(self, entry: _Entry, model: Model | Unanswered) -> bool:
        if model == entry.model:
            return False
        if model is PENDING and entry.served:
            # What proxies have stays good while nothing better is known.
            return False
        before = entry.served
        try:
            entry.served = self._serve(model)
        except (ValueError, TypeError) as error:
            log.error("%s cannot be served and stays as it was: %s", " of ".join(entry.question), error)
            return False
        entry.model = model
        return _versions(before) != _versions(entry.served) or not before

    def _model(self, question: Question) -> Model | Unanswered:
        match question:
            case (kind, namespace, name) if kind == _LISTENERS:
                return proxies.config(self.state, (namespace, name)) or PENDING
            case (kind, namespace, name) if kind == _INBOUND_TRUST:
                exposed = proxies.exposed(self.state, (namespace, name))
                return trust.inbound(self.state, render.usable_roots, exposed=exposed)
            case (name,):
                return self._shared(name)
        return MISSING

    def _shared(self, name: str) -> Model | Unanswered:
        if name == names.TRUST_OUTBOUND_SECRET:
            return trust.outbound(self.state, render.usable_roots)
        if name.startswith(names.GATEWAY_CLUSTER_PREFIX):
            return gateways.resolve(self.state, name.removeprefix(names.GATEWAY_CLUSTER_PREFIX)) or MISSING
        if name.startswith(names.EXPORT_CLUSTER_PREFIX):
            return exports.resolve(self.state, name) or MISSING
        found = outbound.resolve(self.state, name)
        if found is None:
            return MISSING
        return PENDING if isinstance(found, outbound.Pending) else found

    def _serve(self, model: Model | Unanswered) -> Mapping[tuple[str, str], Served]:
        if isinstance(model, Unanswered):
            return {}
        pieces = self._rendered.get(model)
        if pieces is None:
            # Equal values are rendered once: the listeners of most proxies are the same bytes.
            if len(self._rendered) >= _SHARED_MODELS:
                self._rendered.pop(next(iter(self._rendered)))
            pieces = self._rendered[model] = render.render(model)
        return {(piece.type_url, piece.name): piece for piece in pieces}

    def _depend(self, entry: _Entry, topics: frozenset[Topic]) -> None:
        before, entry.topics = entry.topics, topics
        for topic in topics - before:
            dependents = self._dependents.setdefault(topic, {})
            if not dependents and topic[0] == "remote":
                self._remote_wanted(_remote_key(topic))
            dependents[entry.question] = None
        for topic in before - topics:
            dependents = self._dependents[topic]
            del dependents[entry.question]
            if not dependents:
                del self._dependents[topic]
                if topic[0] == "remote":
                    self._remote_unwanted(_remote_key(topic))

    def _is_gateway(self, pod: Key) -> bool:
        workload = self.state.workload(pod)
        return workload is not None and workload.gateway


class Proxy:
    """What one stream listens to; the `Answers` of its session."""

    def __init__(self, world: World, pod: Key, wake: Callable[[], None]) -> None:
        self.pod = pod
        self._world = world
        self._wake = wake
        self._changed: set[tuple[str, str]] = set()
        self._unreachable: dict[str, None] = {}
        """Endpoints that the gateway asked for and may not reach, oldest first."""
        self._offered: set[str] = set()

    def changed(self, type_url: str, name: str) -> None:
        self._changed.add((type_url, name))
        self._wake()

    def take(self) -> Iterable[tuple[str, str]]:
        """Types and names that may have changed since the last call."""
        taken, self._changed = self._changed, set()
        return taken

    def subscribe(self, type_url: str, name: str) -> None:
        self._world.subscribe(self, type_url, name)

    def unsubscribe(self, type_url: str, name: str) -> None:
        self._unreachable.pop(name, None)
        self._world.unsubscribe(self, type_url, name)

    def answer(self, type_url: str, name: str) -> Answer:
        if type_url == wire.CLUSTER and name.startswith(names.EXPORT_CLUSTER_PREFIX):
            if self._world.leads_nowhere(self, name):
                self._unreachable.setdefault(name)
            else:
                self._unreachable.pop(name, None)
        return self._world.answer(self, type_url, name)

    def surplus(self, type_url: str) -> list[str]:
        count = len(self._unreachable) - UNREACHABLE_LIMIT if type_url == wire.CLUSTER else 0
        if count > 0:
            self._world.offered_to.add(self)
        return list(islice(self._unreachable, max(0, count)))

    def offer(self, clusters: Iterable[str]) -> None:
        for name in clusters:
            self._offered.add(name)
            self.changed(wire.CLUSTER, name)

    def offered(self, type_url: str, names: Iterable[str]) -> list[str]:
        if type_url != wire.CLUSTER:
            return []
        taken, self._offered = self._offered.intersection(names), set()
        return sorted(taken)

    def everything(self, type_url: str) -> tuple[str, ...]:
        return LISTENER_NAMES if type_url == wire.LISTENER else ()


def _question(pod: Key, type_url: str, name: str) -> Question | None:
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


def _remote_key(topic: Topic) -> RemoteKey:
    _, cluster, namespace, name = topic
    return cluster, namespace, name


def _versions(served: Mapping[tuple[str, str], Served]) -> dict[tuple[str, str], tuple[str, bool]]:
    """Equal bytes that are no longer provisional are news: proxies that kept something else were not told yet."""
    return {key: (piece.version, piece.provisional) for key, piece in served.items()}
