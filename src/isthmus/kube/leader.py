"""Leader election with a Lease, as the rest of Kubernetes does it: one holder, who must renew in time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from isthmus.kube import errors, kinds
from isthmus.kube.client import Client
from isthmus.kube.kinds import Object

log = logging.getLogger(__name__)

Verdict = Literal["create", "take", "renew", "wait"]


@dataclass(frozen=True, slots=True)
class Observed:
    """A lease as this process saw it: other clocks are not trusted, so expiry counts from when it last changed here."""

    holder: str
    seconds: int
    unchanged_for: float


def verdict(lease: Observed | None, me: str) -> Verdict:
    """What the candidate `me` does about the lease that it sees."""
    if lease is None:
        return "create"
    if lease.holder == me:
        return "renew"
    if not lease.holder or lease.unchanged_for > lease.seconds:
        return "take"
    return "wait"


class Election:
    """Runs `lead` while this process holds the lease `name`; another process takes over when it stops renewing."""

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        namespace: str,
        identity: str,
        seconds: int = 15,
        retry: float = 2.0,
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._seconds = seconds
        self._retry = retry
        self._seen: tuple[str, float] = ("", 0.0)

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled: wait for the lease, lead, and stop leading before anybody else can begin."""
        while True:
            await self._until_acquired()
            await self._lead(lead)

    async def _until_acquired(self) -> None:
        while not await self._try():  # noqa: ASYNC110 - the lease lives in the API server
            await asyncio.sleep(self._retry)

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        log.info("leading as %s", self._identity)
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(_finish(lead))
                try:
                    await self._until_lost(task)
                finally:
                    task.cancel()
        finally:
            await asyncio.shield(self._release())

    async def _until_lost(self, task: "asyncio.Task[None]") -> None:
        loop = asyncio.get_running_loop()
        # Stop a third before the lease ends, so that two never lead at once.
        deadline = loop.time() + self._seconds * _SAFE
        while loop.time() < deadline and not task.done():
            await asyncio.wait([task], timeout=self._retry)
            started = loop.time()
            if await self._try():
                deadline = started + self._seconds * _SAFE
        if not task.done():
            log.warning("lost the lease %s/%s", self._namespace, self._name)

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(self._seconds / 3):
                return await self._step()
        except errors.Conflict:
            return False
        except (errors.KubeError, TimeoutError) as error:
            log.warning("the lease %s/%s: %s", self._namespace, self._name, error or "timed out")
            return False

    async def _step(self) -> bool:
        try:
            lease: Object | None = await self._client.get(kinds.LEASES, self._name, self._namespace)
        except errors.NotFound:
            lease = None
        decision = verdict(self._observe(lease), self._identity)
        if decision == "wait":
            return False
        spec = self._spec(lease, renew=decision == "renew")
        if lease is None:
            await self._client.create(kinds.LEASES, self._object({}, spec))
            return True
        # The resource version makes the write fail if another candidate was faster.
        version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        await self._client.patch(kinds.LEASES, self._name, {"metadata": version, "spec": spec}, self._namespace)
        return True

    def _observe(self, lease: Object | None) -> Observed | None:
        if lease is None:
            return None
        now = asyncio.get_running_loop().time()
        version = str(lease["metadata"].get("resourceVersion", ""))
        if version != self._seen[0]:
            self._seen = (version, now)
        spec = lease.get("spec") or {}
        seconds = int(spec.get("leaseDurationSeconds") or self._seconds)
        return Observed(str(spec.get("holderIdentity") or ""), seconds, now - self._seen[1])

    def _spec(self, lease: Object | None, *, renew: bool) -> Object:
        now = _timestamp(datetime.now(UTC))
        old: dict[str, Any] = (lease or {}).get("spec") or {}
        spec: Object = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._seconds,
            "renewTime": now,
        }
        if not renew:
            spec |= {"acquireTime": now, "leaseTransitions": int(old.get("leaseTransitions") or 0) + 1}
        return spec

    def _object(self, metadata: Object, spec: Object) -> Object:
        return {"metadata": metadata | {"name": self._name, "namespace": self._namespace}, "spec": spec}

    async def _release(self) -> None:
        """Let the next one begin at once; if that fails the lease just runs out."""
        try:
            async with asyncio.timeout(2):
                lease = await self._client.get(kinds.LEASES, self._name, self._namespace)
                if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                    body = {
                        "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]},
                        "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
                    }
                    await self._client.patch(kinds.LEASES, self._name, body, self._namespace)
        except (errors.KubeError, TimeoutError) as error:
            log.info("the lease %s/%s was not released: %s", self._namespace, self._name, error or "timed out")


_SAFE: Final = 2 / 3


async def _finish(lead: Callable[[], Awaitable[None]]) -> None:
    await lead()


def _timestamp(moment: datetime) -> str:
    """RFC 3339 with microseconds: the MicroTime of a Lease."""
    return moment.replace(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
