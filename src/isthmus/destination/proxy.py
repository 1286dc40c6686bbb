"""One proxy: what it listens to, and what it was made to forget."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from isthmus import names
from isthmus.destination import wire
from isthmus.destination.session import Answer
from isthmus.destination.world import World
from isthmus.resources.keys import Key

UNREACHABLE_LIMIT: Final = 1024
"""So many names that lead nowhere a gateway may ask for; of more, the oldest are forgotten.

Linked clusters choose these names, and each costs memory here and in the gateway for as long as it is known. An honest
client asks for one only where a pod has just gone. A proxy does not ask again for what it was told is not there, so
from then on the gateway is offered every endpoint that becomes reachable: names cannot be spoiled for later.
"""
LISTENER_NAMES: Final = ("outbound", "inbound", "tunnel")


class Proxy:
    """What one stream listens to; the `Answers` of its session. `wake` is called when it has something to `take`."""

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
