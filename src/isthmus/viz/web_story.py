"""What happened, in sentences: clusters that come and go, answers that come from elsewhere. Pure."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from isthmus.viz.web_world import LIVE, Value, World, locations

KEPT: Final = 100


@dataclass(slots=True)
class Story:
    """The last events, newest last, each with a number of its own."""

    events: deque[Value] = field(default_factory=lambda: deque(maxlen=KEPT))
    _told: int = 0
    _answering: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)
    _conditions: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def follow(self, world: World, now: float) -> None:
        """Tell what is different from the last time. The first time nothing is."""
        for kind, text, regions in (*self._regions(world), *self._links(world), *self._failovers(world)):
            self._told += 1
            self.events.append(
                {"id": self._told, "at": round(now, 1), "kind": kind, "text": text, "regions": list(regions)}
            )

    def _regions(self, world: World) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        for name, region in world.regions.items():
            state, before = region["state"], self._states.get(name)
            self._states[name] = state
            if before is None or before == state or "connecting" in (before, state):
                continue
            if state == LIVE:
                yield "up", f"{name} answers again.", (name,)
            else:
                yield "down", f"{name} cannot be read. {region['reason']}", (name,)

    def _links(self, world: World) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        for key, link in world.links.items():
            for condition in link["conditions"]:
                where = (key, condition["type"])
                now, before = (condition["status"], condition["reason"]), self._conditions.get(where)
                self._conditions[where] = now
                if before is None or before == now or condition["type"] == "Ready":
                    continue
                ends = (link["region"], link["target"])
                said = condition["message"].split(". ")[0].rstrip(".") or condition["reason"]
                kind = {"True": "up", "False": "down"}.get(condition["status"], "note")
                yield kind, f"Link {ends[0]} → {ends[1]}, {condition['type']}: {said}.", ends

    def _failovers(self, world: World) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        found: dict[tuple[str, str], set[str]] = {}
        for who, region in locations(world):
            found.setdefault(who, set()).add(region)
        for who, regions in found.items():
            now, before = frozenset(regions), self._answering.get(who)
            self._answering[who] = now
            if before is None or before == now:
                continue
            caller, service = who
            region, namespace, _, name = caller.split("/", 3)
            where = f"answered by {_listed(now)} now, was {_listed(before)}"
            story = f"{namespace}/{name} in {region} calls {service}: {where}."
            yield "failover", story, (region, *sorted(now | before))


def _listed(regions: frozenset[str]) -> str:
    return " and ".join(sorted(regions))


@dataclass(slots=True)
class Lag:
    """Since when the mirrors of a link are behind what they mirror."""

    _since: dict[str, float] = field(default_factory=dict)

    def mark(self, world: World, now: float) -> None:
        """Write it into the links that are."""
        self._since = {key: self._since.get(key, round(now, 1)) for key, link in world.links.items() if link["behind"]}
        for key, since in self._since.items():
            world.links[key]["behind_since"] = since
