"""Admission: what an object goes through before it is stored.

A pod's service account first, then the mutating webhooks one after the other, then the validating ones together, each
as its configuration in the store says at this moment.
"""

import asyncio
import base64
import functools
import logging
import ssl
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import aiohttp
import msgspec

from isthmus.lab.api import accounts, escalation, webhooks
from isthmus.lab.api.backends import Backend, backend
from isthmus.lab.api.contracts import WARNINGS, ApiError, Object, Reader, Write
from isthmus.lab.api.rbac import Rbac
from isthmus.lab.api.status import forbidden
from isthmus.lab.api.webhooks import Answer, WebhookError

DEFAULT_TIMEOUT: Final = 10
ACCOUNT_ATTEMPTS: Final = 10
ACCOUNT_RETRY: Final = 0.1
_log = logging.getLogger(__name__)


class ClusterAdmission:
    """Admission by the webhook configurations and service accounts in one cluster's store."""

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def admit(self, write: Write) -> Object:
        """The object as it may be stored (`old` for DELETE); raises `ApiError` when something refuses it."""
        info = write.resource
        if write.operation == "CREATE" and write.obj is not None and (info.group, info.resource) == ("", "pods"):
            write = replace(write, obj=await self._with_account(write, write.obj))
        # Webhooks are never asked about webhooks: a broken one could not be removed any more.
        if info.group != webhooks.GROUP:
            write = await self._mutated(write)
            await self._validate(write)
        if write.obj is None:
            return write.old or {}
        escalation.check(Rbac(self._store), write.user, info, write.namespace, write.obj)
        return write.obj

    async def close(self) -> None:
        """Let go of the connections to webhooks."""
        if self._session is not None:
            await self._session.close()

    async def _with_account(self, write: Write, pod: Object) -> Object:
        wanted = accounts.account_name(pod)
        # A new namespace gets its default account a moment after it is there.
        for _ in range(ACCOUNT_ATTEMPTS if wanted == accounts.DEFAULT_ACCOUNT else 1):
            if account := self._store.get("", "serviceaccounts", write.namespace, wanted):
                return accounts.with_account(pod, account)
            if wanted == accounts.DEFAULT_ACCOUNT:
                await asyncio.sleep(ACCOUNT_RETRY)
        why = f'error looking up service account {write.namespace}/{wanted}: serviceaccount "{wanted}" not found'
        raise forbidden(write.resource, write.name, why)

    async def _mutated(self, write: Write) -> Write:
        """Ask each in turn; those that want it are asked once more if a later one changed the object."""
        seen: list[tuple[Object, Object | None]] = []
        for webhook in self._configured("mutatingwebhookconfigurations"):
            if self._concerns(webhook, write):
                write = replace(write, obj=await self._ask(webhook, write))
                seen.append((webhook, write.obj))
        for webhook, left in seen:
            if webhook.get("reinvocationPolicy") == "IfNeeded" and write.obj != left and self._concerns(webhook, write):
                write = replace(write, obj=await self._ask(webhook, write))
        return write

    async def _validate(self, write: Write) -> None:
        asked = [
            self._ask(webhook, write)
            for webhook in self._configured("validatingwebhookconfigurations")
            if self._concerns(webhook, write)
        ]
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _configured(self, resource: str) -> Iterator[Object]:
        configurations = self._store.list(webhooks.GROUP, resource)
        for configuration in sorted(configurations, key=lambda found: str(found["metadata"]["name"])):
            yield from configuration.get("webhooks") or ()

    def _concerns(self, webhook: Object, write: Write) -> bool:
        return webhooks.concerns(webhook, write, self._namespace_labels(write))

    def _namespace_labels(self, write: Write) -> Mapping[str, str] | None:
        """The labels that namespace selectors look at: for a Namespace its own."""
        if (write.resource.group, write.resource.resource) == ("", "namespaces"):
            found, name = write.obj or write.old, write.name
        elif write.namespace:
            found, name = self._store.get("", "namespaces", None, write.namespace), write.namespace
        else:
            return None
        labels: Mapping[str, str] = ((found or {}).get("metadata") or {}).get("labels") or {}
        return {"kubernetes.io/metadata.name": name, **labels}

    async def _ask(self, webhook: Object, write: Write) -> Object | None:
        """The object after this webhook. One that fails refuses the request, or is passed over, as it asked for."""
        try:
            webhooks.check_supported(webhook, write)
            answer = await self._answer(webhook, write)
        except WebhookError as error:
            message = f'failed calling webhook "{webhook["name"]}": {error}'
            if webhook.get("failurePolicy", "Fail") != "Ignore":
                raise ApiError(500, "InternalError", f"Internal error occurred: {message}") from error
            _log.warning("%s; its failurePolicy is Ignore, so the request goes on", message)
            return write.obj
        if (warnings := WARNINGS.get()) is not None:
            warnings.extend(answer.warnings)
        return answer.obj

    async def _answer(self, webhook: Object, write: Write) -> Answer:
        client = webhook.get("clientConfig") or {}
        target = backend(client, store=self._store)
        seconds = int(webhook.get("timeoutSeconds") or DEFAULT_TIMEOUT)
        uid = str(uuid.uuid4())
        shown = f'failed to call webhook: Post "{target.shown}?timeout={seconds}s"'
        try:
            async with asyncio.timeout(seconds):
                body = await self._post(
                    target, msgspec.json.encode(webhooks.review(write, uid)), _trust(client.get("caBundle"))
                )
        except TimeoutError as error:
            raise WebhookError(f"{shown}: context deadline exceeded") from error
        except aiohttp.ClientResponseError as error:
            raise WebhookError(f"{shown}: the webhook answered with status {error.status}, not 200") from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise WebhookError(f"{shown}: {error}") from error
        return webhooks.answered(webhook, write, uid, body)

    async def _post(self, target: Backend, body: bytes, trust: ssl.SSLContext) -> bytes:
        """Send to the first address that takes a connection; only a failed connection makes another try safe."""
        if self._session is None:
            # A kept connection may lead to a pod that is gone by now, and a lost review cannot simply be sent again.
            connector = aiohttp.TCPConnector(force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"})
        for last, url in zip(range(len(target.urls) - 1, -1, -1), target.urls, strict=True):
            try:
                async with self._session.post(
                    url, data=body, ssl=trust, server_hostname=target.server_name, allow_redirects=False
                ) as answer:
                    if answer.status != 200:
                        answer.raise_for_status()
                        raise WebhookError(f"the webhook answered with status {answer.status}, not 200")
                    return await answer.read()
            except aiohttp.ClientConnectorCertificateError:
                raise
            except aiohttp.ClientConnectorError:
                if not last:
                    raise
        raise WebhookError("it has no address")


@functools.lru_cache(maxsize=64)
def _trust(bundle: str | None) -> ssl.SSLContext:
    """TLS that believes in a webhook's `caBundle` only, or in the system's roots without one."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ssl.SSLError, ValueError) as error:
        raise WebhookError(f"its caBundle holds no PEM certificate: {error}") from error
