"""Service account tokens of one pod: asked for through the API, renewed at 80 % of their life."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

import aiohttp

from isthmus.lab import stamps
from isthmus.lab.client import SERVICE_ACCOUNTS, ApiError, Client, Object
from isthmus.lab.node.environment import ConfigError
from isthmus.lab.node.volumes import TokenRequest

log = logging.getLogger(__name__)

RENEW_AT: Final = 0.8
RETRY: Final = 5.0


class PodTokens:
    """The tokens a pod has. `fetch` gets them; `run` keeps them fresh and says when one has changed."""

    def __init__(self, client: Client, pod: Object, wanted: Iterable[TokenRequest]) -> None:
        self._client = client
        self._pod = pod
        self._wanted = sorted(wanted)
        self._tokens: dict[TokenRequest, str] = {}
        self._renew: dict[TokenRequest, float] = {}

    def __call__(self, request: TokenRequest) -> str:
        if request not in self._tokens:
            raise ConfigError("the service account token has not been issued yet")
        return self._tokens[request]

    async def fetch(self) -> None:
        """Get every token that is missing. Raises ConfigError when the API server refuses."""
        for request in self._wanted:
            if request not in self._tokens:
                await self._get(request)

    async def run(self, changed: Callable[[], None]) -> None:
        """Renew for ever; a token that cannot be renewed is asked for again while the old one is still good."""
        if not self._wanted:
            return
        while True:
            due = min(self._renew.values(), default=time.time() + RETRY)
            await asyncio.sleep(max(due - time.time(), RETRY if not self._renew else 0.0))
            for request in [one for one in self._wanted if self._renew.get(one, 0.0) <= time.time()]:
                try:
                    await self._get(request)
                except ConfigError as error:
                    log.warning("%s: %s", self._pod["metadata"]["name"], error)
                    self._renew[request] = time.time() + RETRY
            changed()

    async def _get(self, request: TokenRequest) -> None:
        metadata = self._pod["metadata"]
        account = self._pod["spec"].get("serviceAccountName") or "default"
        body: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [request.audience] if request.audience else [],
                "expirationSeconds": request.seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]},
            },
        }
        try:
            answer = await self._client.create(
                SERVICE_ACCOUNTS, body, metadata["namespace"], name=account, subresource="token"
            )
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConfigError(f'no token for service account "{account}": {error or type(error).__name__}') from error
        status = answer["status"]
        now = time.time()
        expires = stamps.read(status["expirationTimestamp"]).timestamp()
        self._tokens[request] = status["token"]
        self._renew[request] = now + (expires - now) * RENEW_AT
