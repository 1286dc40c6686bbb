"""Observed state to resources by name: made when somebody asks, kept while somebody listens, remade when they change.

Every answer is traced: the topics it read are the only changes that make it be asked again. So one changed endpoint
costs work for the destinations it serves and the proxies that use them, and nothing else.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from weakref import WeakSet

from isthmus import names
from isthmus.destination import questions, render, wire
from isthmus.destination.questions import Question
from isthmus.destination.render import Model
from isthmus.destination.session import MISSING, PENDING, Answer, Unanswered
from isthmus.destination.wire import Served
from isthmus.mesh import exports, failback, splits
from isthmus.mesh.model import OutboundCluster
from isthmus.mesh.state import RemoteKey, State
from isthmus.mesh.topics import Topic
from isthmus.resources.keys import Key

log = logging.getLogger(__name__)

_SHARED_MODELS: Final = 256


class Listener(Protocol):
    """One stream, as far as it is told of changes."""

    pod: Key

    def changed(self, type_url: str, name: str) -> None:
        """The resource of this name has other bytes, or has gone."""

    def offer(self, clusters: Iterable[str]) -> None:
        """These may be reached now, for whom was made to forget that it asked for them."""


@dataclass(slots=True)
class _Entry:
    """One answer, and who listens to it."""

    question: Question
    model: Model | Unanswered = PENDING
    topics: frozenset[Topic] = frozenset()
    served: Mapping[tuple[str, str], Served] = field(default_factory=dict)
    listeners: dict[tuple[Listener, str, str], None] = field(default_factory=dict)

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
        self.offered_to: WeakSet[Listener] = WeakSet()
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
        due: dict[Question, None] = {}
        changed = self.state.take_changed()
        if self.offered_to:
            self._offer(changed)
        for topic in changed:
            due.update(self._dependents.get(topic, ()))
        for question in due:
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

    # --- listeners ----------------------------------------------------------------------------------------------

    def subscribe(self, proxy: Listener, type_url: str, name: str) -> None:
        question = questions.of(proxy.pod, type_url, name)
        if question is None:
            return
        entry = self._entries.get(question)
        if entry is None:
            entry = self._entries[question] = _Entry(question)
            self._ask(entry)
        entry.listeners[proxy, type_url, name] = None

    def unsubscribe(self, proxy: Listener, type_url: str, name: str) -> None:
        question = questions.of(proxy.pod, type_url, name)
        entry = self._entries.get(question) if question else None
        if entry is None:
            return
        entry.listeners.pop((proxy, type_url, name), None)
        if not entry.listeners:
            del self._entries[entry.question]
            self._depend(entry, frozenset())

    def answer(self, proxy: Listener, type_url: str, name: str) -> Answer:
        found = self._find(proxy, type_url, name)
        if found is MISSING and type_url == wire.CLUSTER:
            # "Removed" would make every later request wait for an answer that cannot come; see envoy.absent.
            return render.absent(name)
        return found

    def leads_nowhere(self, proxy: Listener, name: str) -> bool:
        """Whether there is no such cluster for this proxy."""
        return self._find(proxy, wire.CLUSTER, name) is MISSING

    def _find(self, proxy: Listener, type_url: str, name: str) -> Answer:
        question = questions.of(proxy.pod, type_url, name)
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
        model, topics = self.state.trace(lambda: questions.answer(self.state, entry.question))
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


def _remote_key(topic: Topic) -> RemoteKey:
    _, cluster, namespace, name = topic
    return cluster, namespace, name


def _versions(served: Mapping[tuple[str, str], Served]) -> dict[tuple[str, str], tuple[str, bool]]:
    """Equal bytes that are no longer provisional are news: proxies that kept something else were not told yet."""
    return {key: (piece.version, piece.provisional) for key, piece in served.items()}
