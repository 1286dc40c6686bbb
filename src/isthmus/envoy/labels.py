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
_CALLED: Final = ("dst_service", "dst_namespace")
"""What an authority begins with, in its order."""


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


def brief(labels: Mapping[str, str]) -> dict[str, str]:
    """Those of a latency, which is 28 lines: of another cluster, without what the rest of them says as well."""
    made = dict(labels)
    cluster = made.get("dst_cluster")
    if not cluster:
        return made
    told = _called(made) | {"dst_target_cluster": cluster} | _proven(made)
    return {key: value for key, value in made.items() if told.get(key) != value}


def entire(labels: Mapping[str, str]) -> dict[str, str]:
    """Those of a latency with what `brief` left out."""
    cluster = labels.get("dst_cluster")
    if not cluster:
        return dict(labels)
    return {**_called(labels), "dst_target_cluster": cluster, **_proven(labels), **labels}


def _proven(labels: Mapping[str, str]) -> dict[str, str]:
    """What answered in another cluster had a proxy, if nothing else is said."""
    return {"tls": "true"} if "dst_target_service" in labels else {}


def _called(labels: Mapping[str, str]) -> dict[str, str]:
    """The Service in an authority, `<service>.<namespace>.svc.<domain>:<port>`; nothing in what is no such thing."""
    parts = labels.get("authority", "").split(".", 3)
    return dict(zip(_CALLED, parts, strict=False)) if len(parts) == 4 and parts[2] == "svc" else {}


def harmless(value: str) -> str:
    """What a label's value may be: names, addresses and SPIFFE IDs need no other character."""
    return _FOREIGN.sub("_", value)[:_LENGTH]
