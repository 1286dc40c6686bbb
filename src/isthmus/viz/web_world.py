"""All clusters as one picture: who is whom across them, whose word counts, what changed. Pure.

A cluster's own picture counts for it. Of a cluster that cannot be read there is what others saw of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from isthmus import names
from isthmus.viz.api import Numbers, Party
from isthmus.viz.edges import ACCOUNT
from isthmus.viz.web_picture import Call, LinkPicture, Picture
from isthmus.viz.web_sources import Seen

Value = dict[str, Any]
Table = dict[str, Value]
UNNAMED: Final = "this cluster"
LIVE: Final = "live"
UNREAD: Final = "unlinked"
"""The state of a cluster that only others link to."""
SYSTEM: Final = frozenset({names.CONTROL_PLANE_NAMESPACE, names.VIZ_NAMESPACE, names.MULTICLUSTER_NAMESPACE})


@dataclass(frozen=True, slots=True)
class World:
    """Tables of plain values by name of the thing; equal things have equal names from one moment to the next."""

    regions: Table = field(default_factory=dict)
    nodes: Table = field(default_factory=dict)
    edges: Table = field(default_factory=dict)
    services: Table = field(default_factory=dict)
    splits: Table = field(default_factory=dict)
    links: Table = field(default_factory=dict)
    tunnels: Table = field(default_factory=dict)

    def tables(self) -> dict[str, Table]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Names:
    """What clusters are called on the page, and how one cluster's name for another leads there."""

    own: str
    by_domain: Mapping[str, str]
    """Trust domain -> region; without domains that several clusters share."""

    def region(self, viewer: str, cluster: str, links: Iterable[LinkPicture] = ()) -> str:
        """The region that `viewer` calls `cluster`; "" is the viewer itself."""
        if not cluster:
            return viewer
        if found := self.by_domain.get(cluster):
            return found
        domain = next((each.trust_domain for each in links if each.cluster == cluster), "")
        return self.by_domain.get(domain, cluster)


def names_of(seen: Iterable[Seen]) -> Names:
    """This cluster goes by what its installation was told, else by what a linked cluster calls it."""
    own, *others = seen
    domain = own.picture.trust_domain if own.picture else ""
    called = [
        link.cluster
        for other in others
        for link in (other.picture.links if other.picture else ())
        if domain and link.trust_domain == domain
    ]
    taken = {other.name for other in others}
    name = next((each for each in ((own.picture.name if own.picture else ""), *called) if each not in ("", *taken)), "")
    name = name or UNNAMED
    domains: dict[str, set[str]] = {}
    for region, known in ((name, own), *((other.name, other) for other in others)):
        if known.picture and known.picture.trust_domain:
            domains.setdefault(known.picture.trust_domain, set()).add(region)
    for link in own.picture.links if own.picture else ():
        if link.trust_domain:
            domains.setdefault(link.trust_domain, set()).add(link.cluster)
    return Names(name, {domain: regions.pop() for domain, regions in domains.items() if len(regions) == 1})


def compose(seen: Iterable[Seen]) -> World:
    """This cluster's view first."""
    sources = tuple(seen)
    called = names_of(sources)
    made = World()
    for order, source in enumerate(sources):
        _region(made, source, source.name or called.own, order)
    for source in sources:
        if source.picture:
            _objects(made, source.picture, source.name or called.own, called)
    speaking = {source.name or called.own for source in sources if source.state == LIVE and source.picture}
    for source in sources:
        if source.picture:
            _calls(made, source.picture, source.name or called.own, called, speaking)
    _fold_connections(made)
    _sync(made)
    return made


# --- clusters and what is in them ---------------------------------------------------------------------------------
def _region(made: World, source: Seen, name: str, order: int) -> None:
    picture = source.picture
    made.regions[name] = {
        "name": name,
        "own": order == 0,
        "order": order,
        "state": source.state,
        "reason": source.reason,
        "at": round(source.read_at, 1),
        "heard": round(source.heard_at, 1) if source.state != LIVE else 0,
        "domain": picture.trust_domain if picture else "",
        "rootsExpire": picture.roots_expire if picture else "",
        "problems": list(picture.problems) if picture else [],
        "known": picture is not None,
        "counting": picture is not None and picture.window == 0,
    }


def _unread(made: World, name: str, viewer: str) -> None:
    if name not in made.regions:
        reason = f"No Link leads there from here; what is shown is what {viewer} sees."
        made.regions[name] = {
            **dict.fromkeys(("at", "heard"), 0),
            **dict.fromkeys(("domain", "rootsExpire"), ""),
            "name": name,
            "own": False,
            "order": len(made.regions),
            "state": UNREAD,
            "reason": reason,
            "problems": [],
            "known": False,
            "counting": False,
        }


def _objects(made: World, picture: Picture, region: str, called: Names) -> None:
    for each in picture.workloads:
        made.nodes[_node(region, each.namespace, each.kind, each.name)] = {
            "region": region,
            "ns": each.namespace,
            "kind": each.kind,
            "name": each.name,
            "pods": each.pods,
            "ready": each.ready,
            "meshed": each.meshed,
            "account": each.account,
            "gateway": each.gateway,
            "system": each.namespace in SYSTEM,
            "seen": "",
            "n": numbers(each.numbers),
        }
    for service in picture.services:
        made.services[f"{region}/{service.namespace}/{service.name}"] = {
            "region": region,
            **{key: value for key, value in msgspec.to_builtins(service).items() if value not in ("", False, [], ())},
            "cluster": called.region(region, service.cluster, picture.links) if service.cluster else "",
        }
    for split in picture.splits:
        made.splits[f"{region}/{split.namespace}/{split.name}"] = {"region": region, **msgspec.to_builtins(split)}
    for tunnel in picture.tunnels:
        source = called.region(region, tunnel.cluster, picture.links) if tunnel.cluster else ""
        made.tunnels[f"{region}/{tunnel.namespace}/{tunnel.gateway}<{source}"] = {
            "region": region,
            "gateway": tunnel.gateway,
            "ns": tunnel.namespace,
            "from": source,
            "open": tunnel.open,
            "refused": tunnel.refused,
        }
    for link in picture.links:
        target = called.region(region, link.cluster, picture.links)
        _unread(made, target, region)
        value = {key: value for key, value in msgspec.to_builtins(link).items() if key != "credentials"}
        made.links[f"{region}>{target}"] = {**value, "region": region, "target": target}


def _node(region: str, namespace: str, kind: str, name: str) -> str:
    return f"{region}/{namespace}/{kind}/{name}"


# --- calls --------------------------------------------------------------------------------------------------------
def _calls(made: World, picture: Picture, viewer: str, called: Names, speaking: set[str]) -> None:
    for call in picture.calls:
        source = called.region(viewer, call.source.cluster, picture.links)
        if call.source.cluster and source in speaking:
            continue  # its own proxies say more of it: the service, the latency
        target = called.region(viewer, call.target.cluster, picture.links)
        for region in (source, target):
            _unread(made, region, viewer)
        start = _end(made, source, call.source, viewer)
        end = _end(made, target, call.target, viewer)
        key = f"{start}>{end}>{call.service}>{call.answered}{'>plain' if call.plain else ''}"
        value = _edge(call, start, end, viewer)
        # Two identities may be behind one edge while certificates change; the one with more requests is shown.
        other = made.edges.get(key)
        if other is None or (other["n"].get("rps") or 0) <= (value["n"].get("rps") or 0):
            made.edges[key] = value
        if source != target:
            made.edges[key]["via"] = _via(made, picture, call)


def _end(made: World, region: str, party: Party, viewer: str) -> str:
    """The node of an end; one that its own cluster does not speak of is made from what is seen."""
    key = _node(region, party.namespace, party.kind, party.name)
    if key in made.nodes:
        return key
    if party.kind == ACCOUNT:
        alike = [
            name
            for name, node in made.nodes.items()
            if (node["region"], node["ns"], node["account"]) == (region, party.namespace, party.name)
        ]
        if len(alike) == 1:
            return alike[0]
    made.nodes[key] = {
        "region": region,
        "ns": party.namespace,
        "kind": party.kind,
        "name": party.name,
        "pods": 0,
        "ready": 0,
        "meshed": 0,
        "account": party.name if party.kind == ACCOUNT else "",
        "gateway": False,
        "system": party.namespace in SYSTEM,
        "seen": viewer,
        "n": {},
    }
    return key


def _edge(call: Call, start: str, end: str, viewer: str) -> Value:
    return {
        "from": start,
        "to": end,
        "service": call.service,
        "answered": call.answered,
        "client": call.client_id,
        "server": call.server_id,
        "plain": call.plain,
        "seen": viewer,
        "via": "",
        "n": numbers(call.numbers),
    }


def _fold_connections(made: World) -> None:
    """Connections are not counted by service: they join the one service between two ends, or stay as one row."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for key, edge in made.edges.items():
        pairs.setdefault((edge["from"], edge["to"]), []).append(key)
    for keys in pairs.values():
        asked = [key for key in keys if made.edges[key]["service"]]
        held = [key for key in keys if not made.edges[key]["service"] and "rps" not in made.edges[key]["n"]]
        if not held or len(keys) == 1:
            continue
        carried: Value = {}
        for key in held:
            for name in ("conns", "read", "written"):
                if name in made.edges[key]["n"]:
                    carried[name] = carried.get(name, 0) + made.edges[key]["n"][name]
        for key in held if asked else held[1:]:
            del made.edges[key]
        if len(asked) == 1:
            made.edges[asked[0]]["n"] |= carried
        elif not asked:
            made.edges[held[0]]["n"] |= carried


def _via(made: World, picture: Picture, call: Call) -> str:
    """How it crosses: through the target's gateway, or directly to the pods; as the mirror says that answered."""
    answered = call.answered
    for service in picture.services:
        if f"{service.namespace}/{service.name}" == answered and service.cluster:
            return "direct" if service.flat else "gateway"
    link = next((each for each in picture.links if each.cluster == (call.target.cluster or call.source.cluster)), None)
    return "gateway" if link is None or link.gateway else "direct"


# --- how far a link's mirrors are ---------------------------------------------------------------------------------
def _sync(made: World) -> None:
    """Of each link, the mirrors that show another version than the service has that they mirror."""
    for link in made.links.values():
        behind = []
        compared = 0
        for service in made.services.values():
            if service["region"] != link["region"] or service["cluster"] != link["target"] or "mirrors" not in service:
                continue
            original = made.services.get(f"{link['target']}/{service['mirrors']}")
            if original and service.get("follows"):
                compared += 1
                if original["version"] != service["follows"]:
                    behind.append(service["mirrors"])
        link["behind"] = behind
        link["compared"] = compared


def numbers(found: Numbers) -> Value:
    """Short, rounded to what a person reads, and without what is not known."""
    made = {
        "success": _rounded(found.success, 4),
        "rps": _rounded(found.rps, 2),
        "p50": _rounded(found.latency_ms_p50, 1),
        "p95": _rounded(found.latency_ms_p95, 1),
        "p99": _rounded(found.latency_ms_p99, 1),
        "conns": found.tcp_open_connections,
        "read": _rounded(found.tcp_read_bytes_rate, 0),
        "written": _rounded(found.tcp_write_bytes_rate, 0),
    }
    return {key: value for key, value in made.items() if value is not None}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


# --- what changed -------------------------------------------------------------------------------------------------
def changes(before: World, after: World) -> dict[str, Any]:
    """Table -> `set` and `drop`; empty when nothing did."""
    made: dict[str, Any] = {}
    for name, table in after.tables().items():
        old = getattr(before, name)
        put = {key: value for key, value in table.items() if old.get(key) != value}
        drop = [key for key in old if key not in table]
        if put or drop:
            made[name] = {"set": put, "drop": drop}
    return made


def locations(world: World) -> Iterator[tuple[tuple[str, str], str]]:
    """For each caller and service that is called now: a cluster that answers."""
    for edge in world.edges.values():
        if edge["service"] and edge["n"].get("rps"):
            yield (edge["from"], edge["service"]), world.nodes[edge["to"]]["region"]
