"""Feels the pulse of a linked cluster's API server: does it answer, by which clock, and what does it still permit?

Watches tell late: one whose packets are dropped is as silent as one where nothing happens, and permissions and tokens
are looked at only when a watch begins.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from isthmus import names
from isthmus.kube import errors, pki
from isthmus.kube.client import Client
from isthmus.kube.kinds import ACCESS_REVIEWS, Object
from isthmus.multicluster.links import Link

EVERY: Final = 2.5
TIMEOUT: Final = 2.5
TOLERATED: Final = 2
"""Beats that may be missed in a row, less one: a single lost packet is no outage."""
REVIEWED_EVERY: Final = 3
"""Beats between two looks at the permissions."""
_FORBIDDEN: Final = 403
_WITHIN_ITS_SECOND: Final = timedelta(seconds=0.5)
"""A server tells the second that has begun."""


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a Link's credentials must be allowed to do."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''}{where}"

    @property
    def review(self) -> Object:
        """The question of Kubernetes for it."""
        fields = {"verb": self.verb, "group": self.group, "resource": self.resource}
        place = {"namespace": self.namespace, "name": self.name}
        attributes = fields | {field: text for field, text in place.items() if text}
        return {
            "apiVersion": ACCESS_REVIEWS.api_version,
            "kind": ACCESS_REVIEWS.kind,
            "metadata": {},
            "spec": {"resourceAttributes": attributes},
        }


def needs(link: Link, *, endpoints: bool) -> tuple[Need, ...]:
    """What following a target takes; what registering there takes is told when it is tried.

    `endpoints`: whether those of any service are followed.
    """
    always = (
        Need("list", "", "services"),
        Need("watch", "", "services"),
        Need("watch", "", "configmaps", link.linkerd_namespace, names.TRUST_ROOTS_CONFIG_MAP),
    )
    of_endpoints = (
        Need("list", "discovery.k8s.io", "endpointslices"),
        Need("watch", "discovery.k8s.io", "endpointslices"),
        Need("list", "", "pods"),
    )
    return always + of_endpoints if endpoints else always


class Pulse:
    """`error` is why the API server does not do what the Link needs, `ahead` by how much its clock differs."""

    def __init__(self, client: Client, link: Link, follows_endpoints: Callable[[], bool]) -> None:
        self._client = client
        self._link = link
        self._follows_endpoints = follows_endpoints
        self._missed = 0
        self.error: errors.KubeError | None = None
        self.ahead = timedelta()

    async def run(self) -> None:
        """Until cancelled."""
        beats = 0
        denied: errors.KubeError | None = None
        while True:
            error = await self._beat()
            if error is None and beats % REVIEWED_EVERY == 0:
                denied = await self._denied()
            beats += 1
            self._take(error, denied)
            await asyncio.sleep(EVERY)

    def _take(self, error: errors.KubeError | None, denied: errors.KubeError | None) -> None:
        self._missed = self._missed + 1 if error is not None else 0
        certain = self._missed >= TOLERATED or not isinstance(error, errors.Unreachable)
        if error is None or certain:
            self.error = error or denied

    async def _beat(self) -> errors.KubeError | None:
        """Ask what time it is; why there was no answer."""
        before = time.time()
        try:
            async with asyncio.timeout(TIMEOUT):
                there = await self._client.clock()
        except TimeoutError as error:
            return self._client.unreachable("/version", error)
        except errors.KubeError as error:
            return error if isinstance(error, errors.Unreachable | errors.Unauthorized) else None
        here = datetime.fromtimestamp((before + time.time()) / 2, UTC)
        self.ahead = steady(self.ahead, there + _WITHIN_ITS_SECOND - here)
        return None

    async def _denied(self) -> errors.KubeError | None:
        """The first thing that the credentials may not do any more."""
        try:
            async with asyncio.timeout(TIMEOUT):
                for need in needs(self._link, endpoints=self._follows_endpoints()):
                    review = await self._client.create(ACCESS_REVIEWS, need.review)
                    if not (review.get("status") or {}).get("allowed"):
                        return self._forbidden(need)
        except (errors.KubeError, TimeoutError):
            # Whoever may not ask finds out when a watch begins.
            return None
        return None

    def _forbidden(self, need: Need) -> errors.KubeError:
        return errors.Forbidden(f"{self._client.server} does not permit these credentials to {need}", code=_FORBIDDEN)


_STEADY: Final = timedelta(seconds=5)
"""Clocks are told to the second: smaller changes are not told anew."""


def steady(known: timedelta, found: timedelta) -> timedelta:
    """The difference of two clocks as it is told; 0 where it does not matter."""
    if abs(found) <= pki.CLOCK_SKEW:
        return timedelta()
    return known if abs(found - known) < _STEADY else timedelta(seconds=round(found.total_seconds()))
