"""What one cluster shows of itself to the page, as JSON; the process of every linked cluster reads it. Pure."""

from typing import Final

import msgspec

from isthmus.viz.api import Numbers, Party

PICTURE_PATH: Final = "/api/v1/picture"
"""With `?seen=<version>` for who has one already."""
DETAIL_PATH: Final = "/api/v1/workload"
WINDOW: Final = 10.0
"""Seconds that the numbers of a picture are over."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What runs as one: `pods` run, `ready` are ready, `meshed` have a proxy. Numbers are of what it is asked."""

    namespace: str
    kind: str
    name: str
    pods: int = 0
    ready: int = 0
    meshed: int = 0
    account: str = ""
    gateway: bool = False
    numbers: Numbers = Numbers()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Who called which service, and what answered. `answered` differs from `service` where traffic is split.

    `service` is `<namespace>/<name>:<port>`, "" where none was called. `cluster` of an end is "" for this one.
    """

    source: Party
    target: Party
    service: str = ""
    answered: str = ""
    client_id: str = ""
    server_id: str = ""
    plain: str = ""
    """Why it is not secured; "" where it is."""
    numbers: Numbers = Numbers()


class ServicePicture(msgspec.Struct, frozen=True, kw_only=True):
    """`exported` is "", gateway, flat or federated. `mirrors` is `<namespace>/<name>` in `cluster`, for a mirror.

    `version` changes with the Service; `follows` is the version of the mirrored one that a mirror has taken over.
    """

    namespace: str
    name: str
    ports: tuple[str, ...] = ()
    exported: str = ""
    cluster: str = ""
    mirrors: str = ""
    flat: bool = False
    members: tuple[str, ...] = ()
    version: str = ""
    follows: str = ""


class SplitPicture(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    service: str
    backends: tuple[tuple[str, str], ...] = ()
    """Service and weight."""


class ConditionPicture(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    since: str = ""


class MirrorPicture(msgspec.Struct, frozen=True, kw_only=True):
    """An exported service, `<namespace>/<name>` there and here."""

    remote: str
    local: str = ""
    mirrored: bool = False
    reason: str = ""
    message: str = ""


class LinkPicture(msgspec.Struct, frozen=True, kw_only=True):
    """`latency_ms` is the round trip to the gateway and back, through both proxies."""

    name: str
    namespace: str
    cluster: str
    gateway: str = ""
    gateway_identity: str = ""
    trust_domain: str = ""
    roots_expire: str = ""
    credentials_expire: str = ""
    latency_ms: float | None = None
    conditions: tuple[ConditionPicture, ...] = ()
    mirrors: tuple[MirrorPicture, ...] = ()
    credentials: tuple[str, str] = ("", "")
    """Namespace and name of the Secret; no more of it."""


class Tunnels(msgspec.Struct, frozen=True, kw_only=True):
    """What one cluster's clients have open through a gateway here; `refused` in the window."""

    namespace: str
    gateway: str
    cluster: str
    open: int = 0
    refused: int = 0


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """`now` and `at` (when proxies were last read) are of the answering cluster's clock, so that an age can be told.

    `window`: the seconds that numbers are over. 0 while proxies were read once only: nothing is counted yet.
    """

    version: str
    now: float
    at: float
    window: float
    name: str = ""
    trust_domain: str = ""
    roots_expire: str = ""
    workloads: tuple[Workload, ...] = ()
    calls: tuple[Call, ...] = ()
    services: tuple[ServicePicture, ...] = ()
    splits: tuple[SplitPicture, ...] = ()
    links: tuple[LinkPicture, ...] = ()
    tunnels: tuple[Tunnels, ...] = ()
    problems: tuple[str, ...] = ()


class Unchanged(msgspec.Struct, frozen=True, kw_only=True):
    """In place of a picture that the asker has: still the one of this version."""

    unchanged: str
    now: float
    at: float


class DetailQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A workload; with `points` also how it was in the last ten minutes, asked or, where nobody asks it, asking."""

    namespace: str
    kind: str
    name: str
    points: bool = False


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds before now at which a stretch of `step` seconds ended, and its numbers."""

    ago: float
    numbers: Numbers


class ProxyPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A pod and its proxy. `settings` are sentences about how it is configured; expiry is in seconds since 1970."""

    pod: str
    status: str
    ready: bool = False
    meshed: bool = False
    version: str = ""
    certificate_expires: float | None = None
    certificates: int | None = None
    settings: tuple[str, ...] = ()
    problem: str = ""


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of one port of the workload."""

    port: str
    numbers: Numbers


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """More about one workload than the picture holds. `identity` is the name that its certificates prove."""

    now: float
    identity: str = ""
    proxies: tuple[ProxyPicture, ...] = ()
    ports: tuple[Port, ...] = ()
    step: float = 0.0
    points: tuple[Point, ...] = ()
