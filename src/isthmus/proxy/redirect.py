"""The pod's redirections as one nftables script: inbound and outbound TCP goes through the proxy. Pure."""

from collections.abc import Sequence
from typing import Final

TABLE: Final = "isthmus"
MAX_PORT: Final = 65535


class PortsError(ValueError):
    """A list of ports that cannot be read; the message is a sentence."""


def parse_ports(text: str) -> tuple[tuple[int, int], ...]:
    """Ports and ranges such as `25,3306,8000-8100`, as (first, last)."""
    found = []
    for part in text.split(","):
        part = part.strip()
        if not part:
            continue
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise PortsError(f"{part!r} is neither a port nor a range of ports such as 8000-8100")
        pair = int(first), int(last or first)
        if not 0 < pair[0] <= pair[1] <= MAX_PORT:
            raise PortsError(f"{part!r} is not a range of ports from 1 to {MAX_PORT}")
        found.append(pair)
    return tuple(found)


def render(
    *,
    inbound_port: int,
    outbound_port: int,
    proxy_uid: int,
    inbound_ignored: Sequence[tuple[int, int]],
    outbound_ignored: Sequence[tuple[int, int]],
) -> str:
    """The script. Applied with one `nft -f`, it replaces what an earlier run left, all or nothing.

    Outbound, the proxy's own traffic is told by its uid; what the pod sends to itself stays as it is.
    """
    return f"""table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    chain inbound {{
        type nat hook prerouting priority dstnat; policy accept;
        {_ignore(inbound_ignored)}meta l4proto tcp redirect to :{inbound_port}
    }}
    chain outbound {{
        type nat hook output priority -100; policy accept;
        meta skuid {proxy_uid} return
        oifname "lo" return
        {_ignore(outbound_ignored)}meta l4proto tcp redirect to :{outbound_port}
    }}
}}
"""


def _ignore(ports: Sequence[tuple[int, int]]) -> str:
    if not ports:
        return ""
    merged = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in _merge(ports))
    return f"tcp dport {{ {merged} }} return\n        "


def _merge(ports: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, overlapping and adjacent ones joined: nft refuses a set whose intervals overlap."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ports):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged
