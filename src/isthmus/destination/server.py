"""The gRPC end of the streams: mutual TLS, one task for each proxy, bytes in and bytes out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from isthmus.destination import metrics, wire
from isthmus.destination.proxy import Proxy
from isthmus.destination.session import Session
from isthmus.destination.world import World
from isthmus.kube.watch import Signal
from isthmus.mesh import proxies

log = logging.getLogger(__name__)

METHOD: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_OPTIONS: Final = [
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 16 << 20),
]
_POD_SECONDS: Final = 5.0
"""A proxy may be faster than the news of its pod."""
_WRITE_SECONDS: Final = 30.0
_FIRST_REQUEST_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that this process shows, its key, and the roots that proxies must chain to. All PEM."""

    chain: str
    key: str = field(repr=False)
    roots: str


def credentials(current: Callable[[], Shown]) -> grpc.ServerCredentials:
    """Mutual TLS with whatever `current` says when a proxy connects."""
    last = current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        now = current()
        if now == last:
            return None
        last = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(_configuration(last), fetch, require_client_authentication=True)


def _configuration(shown: Shown) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(shown.key.encode(), shown.chain.encode())], root_certificates=shown.roots.encode()
    )


@asynccontextmanager
async def serving(world: World, address: str, server_credentials: grpc.ServerCredentials) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port."""
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_Handlers(Streams(world)),))
    port = server.add_secure_port(address, server_credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(grace=0.5)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Only delta ADS; without serializers, messages stay bytes."""

    def __init__(self, streams: "Streams") -> None:
        self._handler = grpc.stream_stream_rpc_method_handler(streams.handle)

    def service(self, handler_call_details: Any) -> Any:
        return self._handler if handler_call_details.method == METHOD else None


class Streams:
    """All open streams."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle(self, requests: AsyncIterator[bytes], context: Any) -> None:
        metrics.STREAMS.inc()
        try:
            await self._serve(requests, context)
        finally:
            metrics.STREAMS.dec()

    async def _serve(self, requests: AsyncIterator[bytes], context: Any) -> None:
        try:
            async with asyncio.timeout(_FIRST_REQUEST_SECONDS):
                first = wire.request(await anext(requests))
        except StopAsyncIteration:
            return
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no request came on this stream")
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a DeltaDiscoveryRequest")
        node = first.node.id
        refusal = await self._refusal(node, _spiffe_ids(context))
        if refusal is not None:
            metrics.DENIED.inc()
            log.warning("denied a stream: %s", refusal)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal)
        pod = proxies.pod_of(node)
        assert pod is not None
        wake = Signal()
        proxy = Proxy(self._world, pod, wake.set)
        session = Session(proxy, peer=f"proxy {pod[0]}/{pod[1]}")
        try:
            await _Stream(session, context.write).run(first, requests, wake, proxy.take)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a DeltaDiscoveryRequest")
        except TimeoutError:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the proxy does not read")
        finally:
            session.close()

    async def _refusal(self, node: str, spiffe_ids: list[str]) -> str | None:
        """Why this client may not be this node; waits a moment for news of a new pod."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _POD_SECONDS
        while True:
            refusal = proxies.refusal(self._world.state, node, spiffe_ids)
            pod = proxies.pod_of(node)
            unknown = pod is not None and self._world.state.workload(pod) is None
            if refusal is None or not unknown or loop.time() > deadline:
                return refusal
            await asyncio.sleep(0.05)


class _Stream:
    """One stream: requests and changes in, one after the other, in one task; a second task only reads."""

    def __init__(self, session: Session, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._session = session
        self._write = write
        self._requests: asyncio.Queue[Any] = asyncio.Queue(8)

    async def run(self, first: Any, requests: AsyncIterator[bytes], wake: Signal, take: Callable[[], Any]) -> None:
        reader = asyncio.create_task(self._read(requests, wake))
        try:
            await self._send(self._session.receive(first))
            while True:
                await wake.wait()
                while not self._requests.empty():
                    request = self._requests.get_nowait()
                    if request is None:
                        await reader
                        return
                    await self._send(self._session.receive(request))
                await self._send(self._session.refresh(take()))
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            metrics.REFUSED.inc(self._session.refused)

    async def _read(self, requests: AsyncIterator[bytes], wake: Signal) -> None:
        try:
            async for body in requests:
                await self._requests.put(wire.request(body))
                wake.set()
        finally:
            # The end is a message too: whatever was asked before it is still handled.
            if self._requests.full():
                self._requests.get_nowait()
            self._requests.put_nowait(None)
            wake.set()

    async def _send(self, responses: list[bytes]) -> None:
        for response in responses:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._write(response)
            metrics.RESPONSES.inc()
            metrics.RESPONSE_BYTES.inc(len(response))


def _spiffe_ids(context: Any) -> list[str]:
    values = context.auth_context().get("peer_spiffe_id", ()) if context.auth_context() else ()
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
