"""A control-plane process's own workload certificate: asked of the identity service, kept fresh, held in memory."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from isthmus import names
from isthmus.kube import pki, tls

log: Final = logging.getLogger(__name__)

RENEW_AT: Final = 0.7
SHORTEST_LIFE: Final = timedelta(seconds=1)
"""No certificate is renewed sooner, even one that is over already by the clock of this machine."""
FIRST_RETRY: Final = 0.1
LAST_RETRY: Final = 10.0
REQUEST_SECONDS: Final = 10.0
CHECK_SECONDS: Final = 5.0
"""The longest sleep between looks at the clock, which may jump, and at who signs, which changes in a rotation."""
TOKEN_PATH: Final = Path(names.TOKEN_DIR, names.TOKEN_FILE)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate chain, its key, and the roots that vouch for its peers. All PEM."""

    key_pem: str = field(repr=False)
    chain_pem: str
    trust_anchors: str
    issued_at: datetime
    expires_at: datetime
    issuer: str = ""
    """Who signed it, as the identity service calls itself."""

    @property
    def renew_at(self) -> datetime:
        return self.issued_at + max((self.expires_at - self.issued_at) * RENEW_AT, SHORTEST_LIFE)


class NotIssuedError(Exception):
    """No certificate this time; the message is a sentence for the log."""


class _Answer(msgspec.Struct, frozen=True):
    certificate: str
    trust_anchors: str
    expires_at: datetime
    issuer: str = ""


class _InUse(msgspec.Struct, frozen=True):
    issuer: str


class _Refusal(msgspec.Struct, frozen=True):
    error: str = "no reason given"


class WorkloadCertificate:
    """`run` keeps `current` fresh until cancelled, and calls `on_change` with every new certificate.

    `trust_anchors` gives the roots that the identity service must chain to; it is asked before each request, so that
    a rotation of the mounted roots is followed.
    """

    def __init__(
        self,
        *,
        trust_domain: str,
        service_account: str,
        trust_anchors: Callable[[], str],
        cluster_domain: str = "cluster.local",
        namespace: str = names.CONTROL_PLANE_NAMESPACE,
        token_path: Path = TOKEN_PATH,
        on_change: Callable[[Credentials], None] = lambda _: None,
        address: str = "",
    ) -> None:
        self._host = f"{names.IDENTITY_SERVICE}.{names.CONTROL_PLANE_NAMESPACE}.svc.{cluster_domain}"
        service = f"https://{address or f'{self._host}:{names.IDENTITY_PORT}'}"
        self._url = f"{service}/certify"
        self._issuer_url = f"{service}/issuer"
        self._uri = names.spiffe_id(trust_domain, namespace, service_account)
        self._dns_name = names.identity_name(trust_domain, namespace, service_account)
        self._trust_anchors = trust_anchors
        self._token_path = token_path
        self._on_change = on_change
        self._current: Credentials | None = None
        self._issued = asyncio.Event()

    @property
    def current(self) -> Credentials | None:
        return self._current

    @property
    def valid(self) -> bool:
        """Whether there is a certificate that has not expired: a readiness condition."""
        return self._current is not None and datetime.now(UTC) < self._current.expires_at

    async def wait(self) -> Credentials:
        """The certificate, as soon as there is one."""
        await self._issued.wait()
        assert self._current is not None
        return self._current

    async def run(self) -> None:
        """Get a certificate, renew it at 70 % of its life; failures are logged and tried again. Never returns."""
        failures = 0
        while True:
            try:
                credentials = await self.request()
            except NotIssuedError as error:
                failures += 1
                log.warning("no certificate for %s: %s", self._uri, error)
                pause = min(FIRST_RETRY * 2.0 ** min(failures - 1, 16), LAST_RETRY)
                await asyncio.sleep(pause * (1 - random.random() / 4))  # noqa: S311
                continue
            failures = 0
            self._current = credentials
            self._issued.set()
            log.info("the process has a certificate", extra={"expires_at": credentials.expires_at.isoformat()})
            self._on_change(credentials)
            while (left := (credentials.renew_at - datetime.now(UTC)).total_seconds()) > 0:
                await asyncio.sleep(min(left, CHECK_SECONDS))
                if await self._superseded(credentials):
                    log.info("another issuer signs now: asking for a new certificate")
                    break

    async def request(self) -> Credentials:
        """One attempt, with a key of its own; NotIssuedError says why there is no certificate."""
        key = pki.make_key()
        request = pki.make_request(key, uris=[self._uri], dns_names=[self._dns_name])
        try:
            body = msgspec.json.encode({"csr": request, "token": self._token_path.read_text().strip()})
            status, answer = await self._post(body)
            if status != 200:
                said = msgspec.json.decode(answer, type=_Refusal).error
                raise NotIssuedError(f"the identity service refused it ({status}): {said}")
            certified = msgspec.json.decode(answer, type=_Answer)
        except msgspec.DecodeError as error:
            raise NotIssuedError(f"the identity service sent an answer that cannot be read: {error}") from error
        except TimeoutError as error:
            raise NotIssuedError(f"the identity service did not answer within {REQUEST_SECONDS:.0f} s") from error
        except (httpx2.HTTPError, OSError) as error:
            raise NotIssuedError(f"the identity service cannot be asked: {error}") from error
        return Credentials(
            key_pem=pki.key_pem(key),
            chain_pem=certified.certificate,
            trust_anchors=certified.trust_anchors,
            issued_at=datetime.now(UTC),
            expires_at=certified.expires_at,
            issuer=certified.issuer,
        )

    async def _superseded(self, credentials: Credentials) -> bool:
        """Whether another issuer signs now. An identity service that cannot be asked is no reason to hurry."""
        try:
            async with self._client() as http, asyncio.timeout(REQUEST_SECONDS):
                answer = await http.get(self._issuer_url, extensions={"sni_hostname": self._host})
            in_use = msgspec.json.decode(answer.content, type=_InUse).issuer
        except (msgspec.DecodeError, TimeoutError, httpx2.HTTPError, OSError) as error:
            log.debug("who signs now is not known: %s", error)
            return False
        return in_use != credentials.issuer

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        # The server is known by its Service's name, whatever address it is asked at.
        async with self._client() as http:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await http.post(self._url, content=body, extensions={"sni_hostname": self._host})
            return answer.status_code, answer.content

    def _client(self) -> httpx2.AsyncClient:
        verify = tls.client_context(self._trust_anchors())
        return httpx2.AsyncClient(verify=verify, timeout=REQUEST_SECONDS, trust_env=False)
