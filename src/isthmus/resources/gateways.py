"""Where a gateway answers, as Links write it: `203.0.113.7,gw.example:30443,[2001:db8::7]:443`."""

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

from isthmus import names

_LABEL: Final = r"[a-z0-9_][-a-z0-9_]{0,62}"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\.?$){_LABEL}(\.{_LABEL})*\.?", re.IGNORECASE)
_DIGITS: Final = 5
_HIGHEST: Final = 65535
_SHOWN: Final = 60


class Host(NamedTuple):
    """An IP address or a DNS name, and the port there."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Unusable(ValueError):
    """A sentence about an address that cannot be used."""


def parse(text: str, default: int) -> tuple[tuple[Host, ...], tuple[str, ...]]:
    """Each host once, in the order in which they are written, and what is wrong with the others."""
    found: dict[Host, None] = {}
    problems: list[str] = []
    for part in text.split(","):
        if not part.strip():
            continue
        try:
            found[host(part, default)] = None
        except Unusable as problem:
            problems.append(str(problem))
    return tuple(found), tuple(problems)


def host(text: str, default: int) -> Host:
    """`host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address; without a port it is `default`."""
    name, own = split(text)
    if own and not _is_port(own):
        raise Unusable(f"{text.strip()[:_SHOWN]!r} is no address of a gateway: ports are from 1 to {_HIGHEST}.")
    literal = address(name)
    if literal is None and not _is_name(name):
        raise Unusable(
            f"{text.strip()[:_SHOWN]!r} is no address of a gateway: write an IP address or a DNS name, and :port where "
            "it has one of its own."
        )
    return Host(literal or name.removesuffix("."), int(own) if own else default)


def split(text: str) -> tuple[str, str]:
    """The host without brackets, and the digits of its port ("" when it has none)."""
    text = text.strip()
    name, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdecimal() and (":" not in name or name.endswith("]")):
        return name.strip("[]"), port
    return text.strip("[]"), ""


def port(text: str) -> int:
    """The port of hosts that have none of their own: what a Link says, or Linkerd's where that is no port."""
    return int(text) if _is_port(text.strip()) else names.GATEWAY_PORT


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS and 0 < int(text) <= _HIGHEST


def address(text: str) -> str | None:
    """The one spelling of an IP address; None for anything else, also for one that is meant for one network card."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(found)


def leads_elsewhere(text: str) -> bool:
    """Whether an IP address can be that of another cluster: not this pod, this node or everybody."""
    found = ip_address(text)
    mapped = getattr(found, "ipv4_mapped", None) or found
    return not (mapped.is_loopback or mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified)


def _is_name(text: str) -> bool:
    """Four numbers with dots are a mistyped address, not a name."""
    return bool(_NAME.fullmatch(text)) and not text.rpartition(".")[2].isdecimal()
