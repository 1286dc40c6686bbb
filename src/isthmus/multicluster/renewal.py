"""Keeps the credentials of a Link young: at two thirds of its life a token is exchanged for the next.

The Secret is the only memory: what is in it says when it is due, and whoever reads it follows the change.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from typing import Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.multicluster import tokens
from isthmus.multicluster.credentials import Used
from isthmus.multicluster.links import Link
from isthmus.multicluster.metrics import Metrics
from isthmus.resources.core import SECRETS, Secret

log = logging.getLogger(__name__)

_RETRY: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
_PAUSE: Final = 60.0
"""Between two renewals, whatever the clocks say: another clock, or somebody who writes the old token back."""
_LOOK_AT_CLOCK: Final = 60.0
"""Sleeping machines and set clocks move the time that a timer does not see."""


class Renewal:
    """For one Link, over all the credentials that it has in turn. `used` says how those of now stand."""

    def __init__(
        self,
        link: Link,
        local: Client,
        *,
        metrics: Metrics,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._local = local
        self._metrics = metrics
        self._changed = changed
        self._clock = clock
        self._not_before = 0.0
        self.used = Used()

    def begin(self, kubeconfig: bytes | None) -> None:
        """Other credentials, or none, are used from now on."""
        token = tokens.read(kubeconfig) if kubeconfig is not None else None
        self.used = Used(token)
        self._metrics.credentials(self._link.target, token.expires if token else None)

    async def run(self, remote: Client, kubeconfig: bytes, secret: Secret) -> None:
        """Renew what `begin` was told of, when it is due; ends when it is done or nothing is to be done."""
        token = self.used.token
        if token is None or secret.metadata.annotations.get(names.RENEW_ANNOTATION) == "false":
            return
        await self._until_due(token)
        tries = 0
        while (problem := await self._renew(remote, token, kubeconfig, secret)) is not None:
            if problem != self.used.problem:
                log.warning("the credentials for %s were not renewed: %s", self._link.target, problem)
                self.used = Used(token, problem)
                self._changed()
            await asyncio.sleep(_RETRY[min(tries, len(_RETRY) - 1)])
            tries += 1

    async def _until_due(self, token: tokens.Token) -> None:
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
        while True:
            left = token.due - self._clock()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _LOOK_AT_CLOCK))

    async def _renew(self, remote: Client, token: tokens.Token, kubeconfig: bytes, secret: Secret) -> str | None:
        """None, or in words why it was not done."""
        try:
            answer = await remote.call(tokens.request(token.namespace, token.account, token.life))
            await self._write(secret, tokens.with_token(kubeconfig, answer.status.token))
        except errors.Conflict:
            # Somebody gave other credentials meanwhile: they count, and are on their way here.
            return None
        except errors.KubeError as error:
            self._metrics.renewed(self._link.target, successful=False)
            return str(error)
        self._not_before = time.monotonic() + _PAUSE
        self._metrics.renewed(self._link.target, successful=True)
        log.info("renewed the credentials for %s", self._link.target, extra={"link": self._link.name})
        return None

    async def _write(self, secret: Secret, kubeconfig: bytes) -> None:
        """Guarded by the version that was read, so that credentials given by a person are never undone."""
        metadata = secret.metadata
        body = {
            "metadata": {"resourceVersion": metadata.resource_version},
            "data": {names.CREDENTIALS_KEY: base64.b64encode(kubeconfig).decode()},
        }
        await self._local.patch(SECRETS, metadata.name, body, metadata.namespace)
