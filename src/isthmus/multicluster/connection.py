"""The way into a Link's target: followed with the credentials that the Link's Secret holds, whichever they are now."""

import asyncio
import time
from collections.abc import Callable

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client, connect
from isthmus.kube.watch import Signal
from isthmus.multicluster import conditions, credentials, remote, tokens
from isthmus.multicluster.links import Link
from isthmus.multicluster.local import Local
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.registration import Registration
from isthmus.multicluster.remote import Remote
from isthmus.multicluster.renewal import Renewal
from isthmus.multicluster.status import Condition
from isthmus.resources.core import Secret


class Connection:
    """Of one Link. `remote` and `registration` are None while there are no credentials that can be used.

    `changed` is set when what is known of the target may be different, `status_changed` when only the status may.
    """

    def __init__(
        self,
        link: Link,
        local: Local,
        *,
        metrics: Metrics,
        changed: Signal,
        status_changed: Signal,
        begun: Callable[[], None],
        published: Callable[[], None],
        accepted_roots: Callable[[], str],
    ) -> None:
        """`begun` hears of other credentials, `published` of what the target's gateway Service says."""
        self.remote: Remote | None = None
        self.registration: Registration | None = None
        self._link = link
        self._local = local
        self._changed = changed
        self._status_changed = status_changed
        self._begun = begun
        self._published = published
        self._accepted_roots = accepted_roots
        self._renewal = Renewal(link, local.client, metrics=metrics, changed=status_changed.set)
        self._state = Condition("Reachable", "Connecting", f"Connecting to {link.target}.")
        self._look_again = Signal()

    def secret_changed(self) -> None:
        """Perhaps."""
        self._look_again.set()

    @property
    def reachable(self) -> Condition:
        found = self.remote.reachable() if self.remote else self._state
        return credentials.judged(found, self._link, self._renewal.used, now=time.time())

    @property
    def trust(self) -> Condition:
        """Whether the target believes this cluster."""
        return self.registration.condition if self.registration else conditions.trust_pending(self._link)

    @property
    def credentials_expire(self) -> str:
        return self._renewal.used.expiry

    async def run(self) -> None:
        while True:
            secret = self._local.secret(self._link)
            try:
                kubeconfig = credentials.kubeconfig(self._link, secret)
                client = connect(kubeconfig, name=self._link.target)
            except credentials.Unusable as problem:
                self._ended(Condition("Reachable", problem.reason, str(problem)))
            except errors.ConfigError as error:
                where = f"Secret {self._link.namespace}/{self._link.credentials_secret}"
                self._ended(remote.unreachable(self._link, errors.ConfigError(f"{where}: {error}")))
            else:
                assert secret is not None
                await self._use(client, kubeconfig, secret)
                continue
            await self._new_secret(secret)

    def _ended(self, why: Condition) -> None:
        self._state = why
        self.remote = self.registration = None
        self._renewal.begin(None)
        self._changed.set()
        self._status_changed.set()

    async def _use(self, client: Client, kubeconfig: bytes, secret: Secret) -> None:
        """Follow the target with these credentials until others are there."""
        self._renewal.begin(kubeconfig)
        self._begun()
        async with client, asyncio.TaskGroup() as group:
            self.remote = Remote(client, self._link, self._changed)
            self.remote.on_gateway_change(self._published)
            self.registration = Registration(self.remote, lambda: self._local.own_roots, self._status_changed)
            self.registration.on_registered = lambda: self._local.remember(self._link, kubeconfig)
            self.registration.accepted = self._accepted_roots
            self.registration.owner = tokens.owner(kubeconfig, names.MULTICLUSTER_NAMESPACE)
            tasks = [
                group.create_task(self.remote.run()),
                group.create_task(self.registration.run()),
                group.create_task(self._renewal.run(client, kubeconfig, secret)),
            ]
            await self._new_secret(secret)
            for task in tasks:
                task.cancel()

    async def _new_secret(self, old: Secret | None) -> None:
        before = old.data if old else None
        while True:
            await self._look_again.wait()
            current = self._local.secret(self._link)
            if (current.data if current else None) != before:
                return
