"""The API server of one cluster, assembled: use `ApiServer` in a process of its own or inside a test."""

import asyncio
import logging
import socket
import ssl
import time
from email.utils import formatdate
from typing import Final, Self

from aiohttp import web

from isthmus.lab.api import bootstrap, discovery, impersonation, openapi, requests, watch
from isthmus.lab.api.authorization import authorize
from isthmus.lab.api.calls import Parts, reply
from isthmus.lab.api.contracts import (
    WARNINGS,
    Admission,
    ApiError,
    Authenticator,
    Authorizer,
    Object,
    Reviews,
    Streaming,
)
from isthmus.lab.api.crd import CRD, Definitions
from isthmus.lab.api.handlers import Handlers
from isthmus.lab.api.objects import Objects
from isthmus.lab.api.registry import Registry
from isthmus.lab.api.services import Allocator
from isthmus.lab.api.status import method_not_allowed, no_such_path
from isthmus.lab.api.store import Store

log = logging.getLogger(__name__)

VERSION: Final[Object] = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "go1.26",
    "compiler": "gc",
    "platform": "linux/amd64",
}
MAX_BODY: Final = 3 * 1024 * 1024
_SHUTDOWN_SECONDS: Final = 1.0
_REPAIR_SECONDS: Final = 10.0
_BODY_SECONDS: Final = 60.0
_A_YEAR: Final = 365 * 24 * 3600


class ApiServer:
    """One cluster's API."""

    def __init__(
        self,
        *,
        store: Store,
        authenticator: Authenticator,
        authorizer: Authorizer,
        admission: Admission,
        reviews: Reviews,
        streaming: Streaming,
        service_cidr: str = "10.96.0.0/16",
        node_address: str = "127.0.0.1",
        advertised_port: int = 6443,
    ) -> None:
        self.store = store
        self.registry = Registry()
        self.definitions = Definitions(self.registry)
        for definition in self.store.list(*CRD):
            self.definitions.serve(definition)
        self._allocator = Allocator(self.store, service_cidr)
        self.objects = Objects(self.store, self.registry, self.definitions, self._allocator, admission)
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._watches = watch.Watches(self.store)
        self._handlers = Handlers(
            Parts(
                store=self.store,
                registry=self.registry,
                definitions=self.definitions,
                objects=self.objects,
                watches=self._watches,
                authorizer=self._authorizer,
                reviews=reviews,
                streaming=streaming,
            )
        )
        self._node_address = node_address
        self._advertised_port = advertised_port
        self._runner: web.AppRunner | None = None
        self._repair: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Create the cluster's first objects and be ready to `listen`."""
        await self._bootstrap()
        # Without cancellation a watch whose client is gone would wait for the next event before it noticed.
        self._runner = web.AppRunner(
            self.app(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=True
        )
        await self._runner.setup()

        self._repair = asyncio.create_task(self._keep_bootstrapped())

    async def _bootstrap(self) -> None:
        await bootstrap.run(
            self.store,
            self.registry,
            self.objects,
            api_address=self._allocator.api_address,
            node_address=self._node_address,
            port=self._advertised_port,
        )

    async def _keep_bootstrapped(self) -> None:
        """Put back what a cluster cannot be without, whoever deleted it."""
        while True:
            await asyncio.sleep(_REPAIR_SECONDS)
            try:
                await self._bootstrap()
            except ApiError as error:
                log.warning("cannot restore the cluster's own objects: %s", error.message)

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> int:
        """Serve on a bound socket; its port."""
        if self._runner is None:
            raise RuntimeError("start() comes before listen()")
        site = web.SockSite(self._runner, sock, ssl_context=tls)
        await site.start()
        return int(sock.getsockname()[1])

    async def stop(self) -> None:
        self._watches.stop()
        if self._repair is not None:
            self._repair.cancel()
            await asyncio.gather(self._repair, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Every request, with what admission has to say about it in `Warning` headers, which kubectl prints."""
        warnings: list[str] = []
        WARNINGS.set(warnings)
        answer = await self._answer_or_status(request)
        if not answer.prepared:
            for text in warnings:
                quoted = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
                answer.headers.add("Warning", f'299 - "{quoted}"')
        return answer

    async def _answer_or_status(self, request: web.Request) -> web.StreamResponse:
        """Whatever goes wrong is a Status object."""
        try:
            return await self._answer(request)
        except ApiError as error:
            answer = reply(error.status(), error.code)
            answer.headers.update(error.headers)
            return answer
        except web.HTTPRequestEntityTooLarge:
            text = f"the body of the request is larger than {MAX_BODY} bytes"
            return reply(ApiError(413, "RequestEntityTooLarge", text).status(), 413)
        except web.RequestPayloadError as error:
            text = f"the body of the request cannot be read: {' '.join(str(error).split())}"
            return _closing(reply(ApiError(400, "BadRequest", text).status(), 400))
        except RecursionError:
            return reply(ApiError(400, "BadRequest", "the body of the request is nested too deeply").status(), 400)
        except (asyncio.CancelledError, ConnectionError, web.HTTPException):
            raise
        except Exception:
            log.exception("request failed: %s %s", request.method, request.path)
            text = f"an error on the server prevented the request from succeeding: {request.method} {request.path}"
            return reply(ApiError(500, "InternalError", text).status(), 500)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path in ("/healthz", "/readyz", "/livez"):
            return web.Response(text="ok")
        user = impersonation.acting(request, await self._authenticator.authenticate(request), self._authorizer)
        await _read(request)
        where = requests.address(path)
        if where is not None:
            return await self._handlers.handle(request, where, user)
        authorize(self._authorizer, user=user, verb=request.method.lower(), where=None, path=path)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if path == "/openapi/v2":
            return web.Response(body=openapi.EMPTY_V2, content_type="application/octet-stream")
        document = self._document(request, path.rstrip("/"))
        if document is None:
            raise no_such_path()
        return document

    def _document(self, request: web.Request, path: str) -> web.Response | None:
        """What is not a resource: version, discovery, OpenAPI."""
        found: Object | None
        aggregated = requests.discovery_version(request)
        match path.strip("/").split("/"):
            case ["version"]:
                found = VERSION
            case ["api"] | ["apis"] if aggregated:
                found = discovery.aggregated(self.registry, core=path == "/api", version=aggregated)
                answer = reply(found)
                answer.headers["Content-Type"] = (
                    f"application/json;g=apidiscovery.k8s.io;v={aggregated};as=APIGroupDiscoveryList"
                )
                return answer
            case ["api"]:
                found = discovery.core_versions(f"{self._node_address}:{self._advertised_port}")
            case ["apis"]:
                found = discovery.group_list(self.registry)
            case ["apis", group]:
                found = discovery.group(self.registry, group)
            case ["api", version]:
                found = discovery.resource_list(self.registry, "", version)
            case ["apis", group, version]:
                found = discovery.resource_list(self.registry, group, version)
            case ["openapi", "v3"]:
                found = openapi.index(self.registry, self.definitions)
            case ["openapi", "v3", "api", version]:
                return self._openapi(request, "", version)
            case ["openapi", "v3", "apis", group, version]:
                return self._openapi(request, group, version)
            case _:
                found = None
        return None if found is None else reply(found)

    def _openapi(self, request: web.Request, group: str, version: str) -> web.Response | None:
        """A document. Asked for by its hash it may be kept for good, as kubectl does; an old hash leads to the new."""
        digest = openapi.digest(self.registry, self.definitions, group, version)
        if digest is None:
            return None
        lasting = "hash" in request.query
        if lasting and request.query["hash"] != digest:
            return web.Response(status=301, headers={"Location": f"{request.path}?hash={digest}"})
        headers = {"Etag": f'"{digest}"', "Cache-Control": "public, immutable" if lasting else "no-cache, private"}
        if lasting:
            headers["Expires"] = formatdate(time.time() + _A_YEAR, usegmt=True)
        if request.headers.get("If-None-Match") == headers["Etag"]:
            return web.Response(status=304, headers=headers)
        answer = reply(openapi.document(self.registry, self.definitions, group, version))
        answer.headers.update(headers)
        answer.enable_compression()
        return answer


async def _read(request: web.Request) -> None:
    """Have the body here, so that whoever asks for it later does not wait for a client that does not send it."""
    if not request.can_read_body or "Upgrade" in request.headers:
        return
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            await request.read()
    except TimeoutError:
        text = f"the body of the request did not arrive within {_BODY_SECONDS:g} seconds"
        raise ApiError(408, "Timeout", text, headers={"Connection": "close"}) from None


def _closing(answer: web.Response) -> web.Response:
    """An answer after which nothing more is read: what follows on the connection is no request."""
    answer.force_close()
    return answer
