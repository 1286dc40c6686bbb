"""The nft table of a node: service addresses to ready endpoints. Pure: Services and EndpointSlices to text."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from isthmus.lab.client import Object
from isthmus.lab.topology import API_PORT, API_VIP, SERVICE_NETWORK
from isthmus.names import SERVICE_NAME_LABEL

TABLE: Final = "kube"
UPLINK: Final = "eth0"
PROTOCOLS: Final = {"TCP": "tcp", "UDP": "udp"}
COMMENT_LIMIT: Final = 120
"""The kernel's limit for a comment, with some room."""


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """An endpoint's address and port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Forward:
    """One port of one service: the addresses and the node port it is reached by, and who answers."""

    service: str
    protocol: str
    port: int
    address: str
    """The one inside the cluster, or ""."""
    outer: tuple[str, ...]
    node_port: int
    backends: tuple[Backend, ...]
    here: tuple[Backend, ...] | None = None
    """Who answers those outside the cluster, where the service wants them answered by pods of this node only."""

    @property
    def chain(self) -> str:
        return f"svc-{self._digest}"

    @property
    def outer_chain(self) -> str:
        return self.chain if self.here is None else f"ext-{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(f"{self.service} {self.protocol} {self.port}".encode()).hexdigest()[:16]


def forwards(services: Iterable[Object], slices: Iterable[Object], api_ip: str, node: str = "") -> list[Forward]:
    """What the node forwards, in a fixed order. The API server's address works before anything else exists."""
    grouped: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for item in slices:
        owner = (item["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL)
        if owner and item.get("addressType") == "IPv4":
            grouped[item["metadata"]["namespace"], owner].append(item)
    found = [
        forward
        for service in services
        for forward in _of_service(
            service, grouped.get((service["metadata"]["namespace"], service["metadata"]["name"]), []), node
        )
    ]
    if not any(forward.address == API_VIP and forward.backends for forward in found):
        found = [forward for forward in found if forward.address != API_VIP]
        found.append(Forward("default/kubernetes", "tcp", 443, API_VIP, (), 0, (Backend(api_ip, API_PORT),)))
    return sorted(found, key=lambda forward: (forward.service, forward.protocol, forward.port))


def _of_service(service: Object, slices: list[Object], node: str) -> Iterator[Forward]:
    metadata, spec = service["metadata"], service["spec"]
    if spec.get("type") == "ExternalName":
        return
    address = spec.get("clusterIP", "").replace("None", "")
    outer = tuple(_outer(service))
    local = spec.get("externalTrafficPolicy") == "Local"
    for port in spec.get("ports") or ():
        protocol = PROTOCOLS.get(port.get("protocol", "TCP"))
        if protocol is None or not (address or outer or port.get("nodePort")):
            continue
        yield Forward(
            service=f"{metadata['namespace']}/{metadata['name']}",
            protocol=protocol,
            port=port["port"],
            address=address,
            outer=outer,
            node_port=port.get("nodePort") or 0,
            backends=_backends(slices, port),
            here=_backends(slices, port, node) if local else None,
        )


def _outer(service: Object) -> Iterator[str]:
    yield from service["spec"].get("externalIPs") or ()
    for entry in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if entry.get("ip"):
            yield entry["ip"]


def _backends(slices: Iterable[Object], port: Mapping[str, Any], node: str = "") -> tuple[Backend, ...]:
    """Ready endpoints, of one node or of all; when there is none, those that still serve while they end."""
    ready: set[Backend] = set()
    ending: set[Backend] = set()
    for item in slices:
        number = _number(item, port)
        for endpoint in (item.get("endpoints") or ()) if number else ():
            conditions = endpoint.get("conditions") or {}
            if node not in ("", endpoint.get("nodeName")):
                continue
            if conditions.get("ready") is not False:
                ready.update(Backend(address, number) for address in endpoint["addresses"])
            elif conditions.get("serving") and conditions.get("terminating"):
                ending.update(Backend(address, number) for address in endpoint["addresses"])
    return tuple(sorted(ready or ending))


def _number(item: Object, port: Mapping[str, Any]) -> int:
    wanted = (port.get("name") or "", port.get("protocol", "TCP"))
    for declared in item.get("ports") or ():
        if (declared.get("name") or "", declared.get("protocol") or "TCP") == wanted:
            return int(declared.get("port") or 0)
    return 0


def render(found: Iterable[Forward], pod_cidr: str, routed_cidr: str = "") -> str:
    """One nft transaction that replaces the whole table. A service without endpoints has no entry, and is refused."""
    served = [forward for forward in found if forward.backends]
    hairpins = sorted({backend.address for forward in served for backend in forward.backends})
    services = {
        f"{address} . {forward.protocol} . {forward.port}": f"goto {chain}"
        for forward in served
        for address, chain in _entries(forward)
    }
    node_ports = {
        f"{forward.protocol} . {forward.node_port}": f"goto {forward.outer_chain}"
        for forward in served
        if forward.node_port
    }
    return "\n".join(
        [
            f"table ip {TABLE}",
            f"delete table ip {TABLE}",
            f"table ip {TABLE} {{",
            *_map("services", "ipv4_addr . inet_proto . inet_service : verdict", _pairs(services)),
            *_map("nodeports", "inet_proto . inet_service : verdict", _pairs(node_ports)),
            *_map("hairpins", "ipv4_addr . ipv4_addr", [f"{ip} . {ip}" for ip in hairpins], kind="set"),
            *(line for forward in served for line in _chain(forward)),
            *(line for forward in served if forward.here is not None for line in _outer_chain(forward, pod_cidr)),
            *_fixed(pod_cidr, routed_cidr),
            "}",
            "",
        ]
    )


def _pairs(elements: Mapping[str, str]) -> list[str]:
    return [f"{key} : {value}" for key, value in elements.items()]


def _map(name: str, kinds: str, elements: list[str], *, kind: str = "map") -> list[str]:
    filled = [f"  elements = {{ {', '.join(elements)} }}"] if elements else []
    return [f" {kind} {name} {{", f"  type {kinds}", *filled, " }"]


def _entries(forward: Forward) -> Iterator[tuple[str, str]]:
    """The addresses of a service, and the chain behind each."""
    if forward.address:
        yield forward.address, forward.chain
    for address in forward.outer:
        yield address, forward.outer_chain


def _chain(forward: Forward) -> list[str]:
    return [
        f" chain {forward.chain} {{",
        f'  comment "{f"{forward.service}:{forward.port}"[:COMMENT_LIMIT]}"',
        _choice(forward.protocol, forward.backends),
        " }",
    ]


def _outer_chain(forward: Forward, pod_cidr: str) -> list[str]:
    """`externalTrafficPolicy: Local`: this node's own pods for those outside, nobody if it has none."""
    return [
        f" chain {forward.outer_chain} {{",
        f"  ip saddr {pod_cidr} goto {forward.chain}",
        f"  fib saddr type local goto {forward.chain}",
        _choice(forward.protocol, forward.here) if forward.here else "  drop",
        " }",
    ]


def _choice(protocol: str, backends: Sequence[Backend]) -> str:
    choices = ", ".join(f"{n} : {backend.address} . {backend.port}" for n, backend in enumerate(backends))
    return f"  meta l4proto {protocol} dnat to numgen random mod {len(backends)} map {{ {choices} }}"


def _fixed(pod_cidr: str, routed_cidr: str) -> list[str]:
    """What does not depend on services: where packets meet them, and how replies find their way back.

    A pod that reaches itself through a service would see its own address as the peer: it gets the node's instead. What
    still goes to a service address after translation has nobody behind it, and is refused at once. What comes from
    outside and goes on to another node must come back this way.
    """
    outwards = f"ip daddr != {routed_cidr} " if routed_cidr else ""
    refusals = [
        f"  ip daddr {SERVICE_NETWORK} meta l4proto tcp counter reject with tcp reset",
        f"  ip daddr {SERVICE_NETWORK} counter reject",
    ]
    return [
        " chain dispatch {",
        "  ip daddr . meta l4proto . th dport vmap @services",
        "  fib daddr type local meta l4proto . th dport vmap @nodeports",
        " }",
        " chain arriving {",
        "  type nat hook prerouting priority dstnat; policy accept;",
        "  jump dispatch",
        " }",
        " chain own {",
        "  type nat hook output priority -100; policy accept;",
        "  jump dispatch",
        " }",
        " chain leaving {",
        "  type nat hook postrouting priority srcnat; policy accept;",
        f'  oifname "{UPLINK}" ip saddr {pod_cidr} {outwards}masquerade',
        f'  oifname "{UPLINK}" ip saddr != {routed_cidr or pod_cidr} ct status dnat masquerade',
        "  ct status dnat ip saddr . ip daddr @hairpins masquerade",
        " }",
        " chain passing {",
        "  type filter hook forward priority filter; policy accept;",
        *refusals,
        " }",
        " chain refusing {",
        "  type filter hook output priority filter; policy accept;",
        '  oifname "lo" accept',
        *refusals,
        " }",
    ]
