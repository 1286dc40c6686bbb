"""The labels of a metric in one piece of text: `key=value,key=value`. Imported by the agent: standard library only.

Envoy pays for each label of each metric with every request, so it counts under one label that holds them all, made by
the control plane where that can be; whoever scrapes takes it apart again.
"""

import re
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "l5d"
"""Of what Envoy counts for people; the rest is about Envoy."""
LABEL: Final = "l"
"""The one label under which Envoy counts."""
CLIENT: Final = "client"
"""Always the last key, for its value comes from another party and may hold anything; see `unpack`."""
STATUS: Final = "status_code"
GRPC_STATUS: Final = "grpc_status"
PLACEHOLDER: Final = "placeholder"
"""In the place of an endpoint's labels: it is none, and not to be counted."""
_KEY: Final = re.compile(r"[a-z_]+")
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9._:/@-]")
_LENGTH: Final = 300


def pack(labels: Mapping[str, str]) -> str:
    """Labels as text; those without a value are left out."""
    return ",".join(f"{key}={harmless(value)}" for key, value in labels.items() if value)


def unpack(text: str) -> dict[str, str]:
    """The labels in a text. Of two with the same name the later one counts; what is no label is passed over."""
    found: dict[str, str] = {}
    own, client, identity = text.partition(f",{CLIENT}=")
    for part in own.split(","):
        key, _, value = part.partition("=")
        if value and _KEY.fullmatch(key):
            found[key] = harmless(value)
    if client and identity:
        found[CLIENT] = harmless(identity)
    return found


def harmless(value: str) -> str:
    """What a label's value may be: names, addresses and SPIFFE IDs need no other character."""
    return _FOREIGN.sub("_", value)[:_LENGTH]
