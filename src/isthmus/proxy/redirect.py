"""The pod's redirections as one nftables script: inbound and outbound TCP goes through the proxy. Pure."""

from collections.abc import Iterable
from typing import Final

from isthmus.resources.ports import ranges

TABLE: Final = "isthmus"


def render(
    *,
    inbound_port: int,
    outbound_port: int,
    proxy_uid: int,
    inbound_ignored: Iterable[int],
    outbound_ignored: Iterable[int],
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


def _ignore(ports: Iterable[int]) -> str:
    merged = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges(ports))
    return f"tcp dport {{ {merged} }} return\n        " if merged else ""
