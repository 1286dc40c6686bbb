"""`POST /certify`: a certificate request and a token in, a certificate out. The contract is in docs/architecture.md.

`GET /issuer` says who signs now: whoever holds a certificate of another issuer had better ask for a new one.
"""

import asyncio
import logging
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from isthmus.identity import tokens
from isthmus.identity.authority import Authority
from isthmus.identity.ca import MAX_REQUEST_BYTES, Leaf, Refusal

log: Final = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 2 * (MAX_REQUEST_BYTES + tokens.MAX_TOKEN_BYTES)
BODY_TIMEOUT: Final = 10.0


class CertifyRequest(msgspec.Struct, frozen=True):
    csr: str
    token: str


class Certified(msgspec.Struct, frozen=True):
    certificate: str
    trust_anchors: str
    trust_domain: str
    expires_at: str
    issuer: str


class InUse(msgspec.Struct, frozen=True):
    issuer: str


class Metrics:
    """What happened to the requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.issued = Counter("identity_certificates_issued", "Workload certificates signed", registry=registry)
        self.refused = Counter(
            "identity_requests_refused", "Certificate requests refused, by reason", ["reason"], registry=registry
        )


class Certifier:
    """The service behind `/certify`."""

    def __init__(self, authority: Authority, reviewer: tokens.Reviewer, metrics: Metrics) -> None:
        self._authority = authority
        self._reviewer = reviewer
        self._metrics = metrics

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_post("/certify", self.certify)
        application.router.add_get("/issuer", self.issuer)
        return application

    async def issuer(self, _: web.Request) -> web.Response:
        try:
            return _json(200, InUse(self._authority.issuer.name))
        except Refusal as refusal:
            return _json(refusal.status, {"error": str(refusal)})

    async def certify(self, request: web.Request) -> web.Response:
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            self._metrics.refused.labels(refusal.reason).inc()
            log.warning("refused a certificate", extra={"peer": request.remote, "why": str(refusal)})
            return _json(refusal.status, {"error": str(refusal)})
        self._metrics.issued.inc()
        return _json(200, answer)

    async def _answer(self, request: web.Request) -> Certified:
        asked = await _read(request)
        account = await self._reviewer.account(asked.token)
        leaf = self._authority.sign(asked.csr, namespace=account.namespace, service_account=account.name)
        log.info("issued a certificate", extra={"account": f"{account.namespace}/{account.name}"} | _expiry(leaf))
        return Certified(
            certificate=leaf.chain_pem,
            trust_anchors=self._authority.issuer.trust_anchors,
            trust_domain=self._authority.trust_domain,
            expires_at=f"{leaf.not_after:%Y-%m-%dT%H:%M:%SZ}",
            issuer=self._authority.issuer.name,
        )


async def _read(request: web.Request) -> CertifyRequest:
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await request.read()
        asked = msgspec.json.decode(body, type=CertifyRequest)
    except TimeoutError as error:
        raise Refusal("slow", f"the request did not arrive within {BODY_TIMEOUT:.0f} s", status=408) from error
    except web.HTTPRequestEntityTooLarge as error:
        raise Refusal("too_large", f"the request is larger than {MAX_BODY_BYTES} bytes", status=413) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal("unreadable", 'the request is not JSON {"csr": PEM, "token": string}') from error
    if not asked.token or len(asked.token) > tokens.MAX_TOKEN_BYTES:
        raise Refusal("bad_token", "the token is empty or too long", status=401)
    return asked


def _expiry(leaf: Leaf) -> dict[str, str]:
    return {"expires_at": f"{leaf.not_after:%Y-%m-%dT%H:%M:%SZ}"}


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
