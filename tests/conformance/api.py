"""A client of whichever API server a test runs against: plain requests, and answers with their code."""

import asyncio
import datetime
import itertools
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.conformance.servers import Server

from isthmus.lab.pki import Pki

Object = dict[str, Any]

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
SECONDS = 30.0
"""How long anything that happens by and by may take."""

_GROUPS = {
    "deployments": "apps/v1",
    "leases": "coordination.k8s.io/v1",
    "roles": "rbac.authorization.k8s.io/v1",
    "rolebindings": "rbac.authorization.k8s.io/v1",
    "clusterroles": "rbac.authorization.k8s.io/v1",
    "clusterrolebindings": "rbac.authorization.k8s.io/v1",
    "customresourcedefinitions": "apiextensions.k8s.io/v1",
    "mutatingwebhookconfigurations": "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations": "admissionregistration.k8s.io/v1",
    "tokenreviews": "authentication.k8s.io/v1",
    "selfsubjectreviews": "authentication.k8s.io/v1",
    "subjectaccessreviews": "authorization.k8s.io/v1",
    "selfsubjectaccessreviews": "authorization.k8s.io/v1",
    "selfsubjectrulesreviews": "authorization.k8s.io/v1",
}
_OUTSIDE_NAMESPACES = frozenset(_GROUPS) - {"deployments", "leases", "roles", "rolebindings"} | {"namespaces"}
_numbers = itertools.count()


def unique(prefix: str) -> str:
    """A name that nothing else in the cluster has."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


@dataclass(frozen=True)
class Answer:
    code: int
    body: Any
    headers: Mapping[str, str]

    @property
    def warnings(self) -> list[str]:
        return self.headers.getall("Warning", [])  # type: ignore[attr-defined,no-any-return]

    def causes(self) -> set[tuple[str, str]]:
        """(field, reason) of everything that a Status names as a cause."""
        return {(cause.get("field", ""), cause["reason"]) for cause in self.body["details"]["causes"]}

    def refused(self, code: int, reason: str) -> "Answer":
        """Itself, if it is a Status with this code and reason."""
        found = (self.code, self.body.get("kind"), self.body.get("code"), self.body.get("reason"))
        assert found == (code, "Status", code, reason), self.body
        assert self.body["status"] == "Failure"
        assert self.body["message"]
        return self


@dataclass(frozen=True)
class Watch:
    """The lines of one watch."""

    response: aiohttp.ClientResponse

    async def next(self) -> Object:
        async with asyncio.timeout(SECONDS):
            line = await self.response.content.readline()
        assert line, "the watch ended"
        event: Object = json.loads(line)
        return event

    async def names(self, count: int) -> list[tuple[str, str]]:
        """The types and names of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@dataclass(frozen=True)
class Api:
    """The API as one user sees it, and a namespace of the test's own."""

    server: Server
    namespace: str
    ending: AsyncExitStack
    session: aiohttp.ClientSession
    headers: Mapping[str, str] = field(default_factory=dict)

    def path(
        self, resource: str, name: str = "", subresource: str = "", *, group: str = "", namespace: str = ""
    ) -> str:
        """Where a resource is: in the test's namespace, if it lives in namespaces."""
        version = group or _GROUPS.get(resource, "v1")
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        home = "" if resource in _OUTSIDE_NAMESPACES else f"/namespaces/{self.namespace}"
        return "/".join(part for part in (f"{root}{home}/{resource}", name, subresource) if part)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        accept: str = "",
        **query: str,
    ) -> Answer:
        """One request. Names of query parameters are as they are in the API."""
        headers = {**self.headers, "Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"] = kind
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.request(method, self._url(path, query), data=data, headers=headers) as response:
            raw = await response.read()
            try:
                decoded = json.loads(raw)
            except ValueError:
                decoded = raw
            return Answer(response.status, decoded, response.headers)

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        return self.server.url + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")

    async def create(self, path: str, body: Object, **query: str) -> Object:
        answer = await self.call("POST", path, body, **query)
        assert answer.code == 201, answer.body
        found: Object = answer.body
        return found

    async def allow_pods(self) -> None:
        """Have the service account that pods of the namespace run as, which a controller would make by and by."""
        answer = await self.call("POST", self.path("serviceaccounts"), {"metadata": {"name": "default"}})
        assert answer.code in (201, 409), answer.body

    async def get(self, path: str, **query: str) -> Object:
        answer = await self.call("GET", path, **query)
        assert answer.code == 200, answer.body
        found: Object = answer.body
        return found

    async def patch(self, path: str, body: Any, kind: str = MERGE, **query: str) -> Object:
        answer = await self.call("PATCH", path, body, kind=kind, **query)
        assert answer.code in (200, 201), answer.body
        found: Object = answer.body
        return found

    async def is_gone(self, path: str) -> bool:
        return (await self.call("GET", path)).code == 404

    async def until(self, ready: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for what a server does by and by."""
        try:
            async with asyncio.timeout(SECONDS):
                while not await ready():  # noqa: ASYNC110 - what is waited for is in another process
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {SECONDS} s: {what}") from None

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[Watch]:
        url = self._url(path, {"watch": "true", **query})
        async with self.session.get(url, headers=self.headers) as response:
            assert response.status == 200, await response.text()
            yield Watch(response)

    async def certified(self, name: str, *groups: str) -> "Api":
        """The API as whoever a client certificate names."""
        return await self._other(_certificate_context(self.server.pki, name, groups))

    async def bearing(self, token: str) -> "Api":
        """The API as the bearer of a token."""
        other = await self._other(ssl.create_default_context(cafile=str(self.server.pki.ca)))
        return replace(other, headers={"Authorization": f"Bearer {token}"})

    def impersonating(self, **headers: str) -> "Api":
        """The API as this user acts for another: `user`, `group`, `uid`, `extra_KEY`."""
        sent = {f"Impersonate-{name.replace('_', '-')}": value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **sent})

    async def _other(self, tls: ssl.SSLContext) -> "Api":
        session = await self.ending.enter_async_context(session_with(tls))
        return replace(self, session=session)


def session_with(tls: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls), timeout=aiohttp.ClientTimeout(total=None, sock_read=SECONDS)
    )


def _certificate_context(pki: Pki, name: str, groups: tuple[str, ...]) -> ssl.SSLContext:
    authority_key = serialization.load_pem_private_key(pki.key("ca").read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(pki.ca.read_bytes()).subject
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=1))
    builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    pair = Path(pki.directory, unique("client"))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(pair)
    return context
