"""What the cluster's DNS knows: names to records, from Services and EndpointSlices. Pure lookups, no wire format."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from isthmus.lab.client import Object

MAX_ALIASES: Final = 8
"""ExternalNames that lead to each other end somewhere."""


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record. `value` is an address, a name, or for SRV (`port`) the target's name."""

    name: str
    type: str
    value: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """`exists` False is NXDOMAIN; True without records is NODATA. `additional` saves the client a second question."""

    exists: bool
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


UNKNOWN: Final = Answer(exists=False)
NO_DATA: Final = Answer(exists=True)


@dataclass(frozen=True, slots=True)
class Host:
    """One endpoint of a headless service: its name below the service's, its address, its ports by (name, protocol)."""

    label: str
    address: str
    ports: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """The names below one cluster domain. `service` and `slices` look objects up by namespace and service name."""

    domain: str
    service: Callable[[str, str], Object | None]
    slices: Callable[[str, str], Sequence[Object]]
    has_namespace: Callable[[str], bool]

    def resolve(self, name: str, kind: str) -> Answer:
        """The answer for a name (any case, with or without final dot) and a record type."""
        return self._resolve(name.rstrip(".").lower(), kind, MAX_ALIASES)

    def _resolve(self, name: str, kind: str, aliases: int) -> Answer:
        if name == self.domain:
            return NO_DATA
        if not name.endswith(f".{self.domain}"):
            return UNKNOWN
        labels = name.removesuffix(f".{self.domain}").split(".")
        match labels:
            case ["svc"]:
                return NO_DATA
            case [namespace, "svc"]:
                return NO_DATA if self.has_namespace(namespace) else UNKNOWN
            case [*below, service, namespace, "svc"]:
                found = self.service(namespace, service)
                return UNKNOWN if found is None else self._below(found, below, name, kind, aliases)
            case _:
                return UNKNOWN

    def _below(self, service: Object, below: list[str], name: str, kind: str, aliases: int) -> Answer:
        if service["spec"].get("type") == "ExternalName":
            return UNKNOWN if below else self._alias(service, name, kind, aliases)
        match below:
            case []:
                return _of_type(kind, [Record(name, "A", address) for address in self._addresses(service)])
            case [label] if not label.startswith("_"):
                found = [Record(name, "A", host.address) for host in self._hosts(service) if host.label == label]
                return _of_type(kind, found) if found else UNKNOWN
            case [label] if label in ("_tcp", "_udp"):
                return NO_DATA
            case [port, protocol] if port.startswith("_") and protocol in ("_tcp", "_udp"):
                return self._ports(service, port[1:], protocol[1:], kind, name)
            case _:
                return UNKNOWN

    def _alias(self, service: Object, name: str, kind: str, aliases: int) -> Answer:
        target = service["spec"].get("externalName", "").rstrip(".").lower()
        alias = Record(name, "CNAME", target)
        if kind == "CNAME" or not aliases:
            return Answer(exists=True, records=(alias,))
        return Answer(exists=True, records=(alias, *self._resolve(target, kind, aliases - 1).records))

    def _ports(self, service: Object, port: str, protocol: str, kind: str, name: str) -> Answer:
        own = self._name_of(service)
        if _headless(service):
            targets = [
                (f"{host.label}.{own}", host.address, number)
                for host in self._hosts(service)
                for port_name, port_protocol, number in host.ports
                if (port_name, port_protocol) == (port, protocol)
            ]
        else:
            targets = [
                (own, service["spec"]["clusterIP"], declared["port"])
                for declared in service["spec"].get("ports") or ()
                if (declared.get("name", ""), declared.get("protocol", "TCP").lower()) == (port, protocol)
            ]
        if not targets:
            return UNKNOWN
        if kind != "SRV":
            return NO_DATA
        return Answer(
            exists=True,
            records=tuple(Record(name, "SRV", target, number) for target, _, number in targets),
            additional=tuple(dict.fromkeys(Record(target, "A", address) for target, address, _ in targets)),
        )

    def _addresses(self, service: Object) -> Iterable[str]:
        if _headless(service):
            return dict.fromkeys(host.address for host in self._hosts(service))
        return (service["spec"]["clusterIP"],) if service["spec"].get("clusterIP") else ()

    def _hosts(self, service: Object) -> Iterator[Host]:
        """The endpoints that a headless service shows: ready ones, or all when it publishes those not ready too."""
        if not _headless(service):
            return
        metadata = service["metadata"]
        for item in self.slices(metadata["namespace"], metadata["name"]):
            ports = tuple(
                (port.get("name") or "", (port.get("protocol") or "TCP").lower(), port.get("port") or 0)
                for port in item.get("ports") or ()
            )
            for endpoint in item.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    for address in endpoint["addresses"]:
                        yield Host(endpoint.get("hostname") or address.replace(".", "-"), address, ports)

    def _name_of(self, service: Object) -> str:
        metadata = service["metadata"]
        return f"{metadata['name']}.{metadata['namespace']}.svc.{self.domain}"


def _headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def _of_type(kind: str, records: Sequence[Record]) -> Answer:
    return Answer(exists=True, records=tuple(records)) if kind == "A" else NO_DATA
