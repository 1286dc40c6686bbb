"""Addresses and node ports of Services: chosen by the server, kept while the Service lives, never given twice."""

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from isthmus.lab.api.contracts import Object, Reader

NODE_PORTS: Final = range(30000, 32768)
_EXPOSED: Final = ("NodePort", "LoadBalancer")

Problem = tuple[str, str]


class Allocator:
    """Hands out cluster IPs and node ports. What is taken is read from the Services themselves."""

    def __init__(self, store: Reader, cidr: str) -> None:
        self._store = store
        self._network = ipaddress.ip_network(cidr)
        first = self._network.network_address
        self.api_address = str(first + 1)
        self._next_address = 11
        self._next_port = 0

    def allocate(self, service: Object, old: Object | None) -> tuple[Object, list[Problem]]:
        """The Service with its addresses and ports, and what it asked for in vain."""
        spec: dict[str, Any] = dict(service["spec"])
        old_spec: dict[str, Any] = (old or {}).get("spec") or {}
        others = [other["spec"] for other in self._store.list("", "services") if _identity(other) != _identity(service)]
        problems = self._address(spec, old_spec, others) + self._ports(spec, old_spec, others)
        return service | {"spec": spec}, problems

    def _address(self, spec: dict[str, Any], old: dict[str, Any], others: Iterable[dict[str, Any]]) -> list[Problem]:
        if spec["type"] == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(field, None)
            return []
        wanted = spec.get("clusterIP") or old.get("clusterIP")
        if old.get("clusterIP") and old.get("type") != "ExternalName" and wanted != old["clusterIP"]:
            return [("spec.clusterIPs[0]", f'Invalid value: ["{wanted}"]: may not change once set')]
        if not wanted:
            wanted = self._free_address({other.get("clusterIP") for other in others})
            if wanted is None:
                return [("spec.clusterIP", "Internal error: no address is left in the service network")]
        elif wanted != "None" and wanted != old.get("clusterIP"):
            problem = self._unusable(wanted, {other.get("clusterIP") for other in others})
            if problem:
                return [("spec.clusterIPs", problem)]
        spec["clusterIP"] = wanted
        spec["clusterIPs"] = [wanted]
        spec["ipFamilies"] = ["IPv4"]
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        return []

    def _unusable(self, wanted: str, taken: set[str | None]) -> str:
        try:
            inside = ipaddress.ip_address(wanted) in self._network
        except ValueError:
            return f'Invalid value: ["{wanted}"]: must be a valid IP address'
        if not inside:
            return f'Invalid value: ["{wanted}"]: failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {self._network}'  # noqa: E501 (one message)
        if wanted in taken:
            return f'Invalid value: ["{wanted}"]: failed to allocate IP {wanted}: provided IP is already allocated'
        return ""

    def _free_address(self, taken: set[str | None]) -> str | None:
        """The next address in turn, so that a new Service does not get one a client still remembers."""
        size = self._network.num_addresses
        for _ in range(size):
            offset, self._next_address = self._next_address, self._next_address + 1
            if self._next_address >= size - 1:
                self._next_address = 11
            address = str(self._network.network_address + offset)
            if address not in taken:
                return address
        return None

    def _ports(self, spec: dict[str, Any], old: dict[str, Any], others: Iterable[dict[str, Any]]) -> list[Problem]:
        ports = [dict(port) for port in spec.get("ports") or ()]
        spec["ports"] = ports
        wanted = spec["type"] == "NodePort" or (
            spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
        )
        if not wanted:
            if old.get("type") in _EXPOSED and spec["type"] not in _EXPOSED:
                for port in ports:
                    port.pop("nodePort", None)
            return []
        taken = {port.get("nodePort") for other in others for port in other.get("ports") or ()}
        before = {(port.get("port"), port.get("protocol")): port.get("nodePort") for port in old.get("ports") or ()}
        problems = []
        for index, port in enumerate(ports):
            asked = port.get("nodePort") or before.get((port.get("port"), port.get("protocol")))
            if asked and (problem := _port_problem(asked, taken)):
                problems.append((f"spec.ports[{index}].nodePort", problem))
                continue
            port["nodePort"] = asked or self._free_port(taken)
            taken.add(port["nodePort"])
        return problems

    def _free_port(self, taken: set[Any]) -> int:
        for _ in NODE_PORTS:
            port = NODE_PORTS[self._next_port % len(NODE_PORTS)]
            self._next_port += 1
            if port not in taken:
                return port
        return NODE_PORTS[0]


def _port_problem(asked: Any, taken: set[Any]) -> str:
    if not isinstance(asked, int) or asked not in NODE_PORTS:
        return (
            f"Invalid value: {asked}: provided port is not in the valid range. The range of valid ports is 30000-32767"
        )
    return f"Invalid value: {asked}: provided port is already allocated" if asked in taken else ""


def _identity(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
