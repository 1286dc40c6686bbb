"""The node's side of exec, attach, logs and port-forward: what the API server passes on, byte for byte.

The kubelet implements `Containers`; this module speaks the Kubernetes protocols on top of it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from isthmus.lab.node import channels, logs, portforward, sessions
from isthmus.lab.node.contracts import Containers, ExecProcess, StreamError

__all__ = ["Containers", "ExecProcess", "StreamError", "app"]

STATUS_HEADER: Final = "X-Kubernetes-Status"
"""A refusal's Status once more, for websocket clients: they see the headers of a refused handshake, not its body."""
DIAL_TIMEOUT: Final = 10.0


def app(containers: Containers) -> web.Application:
    """Serves what the API server passes on: the same paths, queries and subprotocols as its own."""
    node = _Node(containers)
    application = web.Application()
    pod = "/api/v1/namespaces/{namespace}/pods/{pod}"
    for name, handler in {"exec": node.exec, "attach": node.attach, "portforward": node.portforward}.items():
        for method in ("GET", "POST"):
            application.router.add_route(method, f"{pod}/{name}", _refusing(handler))
    application.router.add_get(f"{pod}/log", _refusing(node.log))
    return application


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _refusing(handler: Handler) -> Handler:
    """Turns a StreamError into the Status that the user is shown."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except StreamError as error:
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": error.message,
                "reason": error.reason,
                "code": error.code,
            }
            text = json.dumps(status)  # ASCII only, which a header needs
            header = {STATUS_HEADER: text}
            return web.Response(status=error.code, text=text, content_type="application/json", headers=header)

    return handle


class _Node:
    """The handlers, one for each subresource of a pod."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    async def exec(self, request: web.Request) -> web.StreamResponse:
        where = self._running(request)
        command = request.query.getall("command", [])
        if not command:
            raise StreamError.bad_request("you must specify at least one command for the container")
        tty, stdin = _flag(request, "tty"), _flag(request, "stdin")
        socket = await _upgraded(request, channels.PROTOCOLS)
        await sessions.serve(socket, lambda: self._containers.exec(*where, command, tty=tty, stdin=stdin))
        return socket

    async def attach(self, request: web.Request) -> web.StreamResponse:
        where = self._running(request)
        tty, stdin = _flag(request, "tty"), _flag(request, "stdin")
        socket = await _upgraded(request, channels.PROTOCOLS)
        await sessions.serve(socket, lambda: self._containers.attach(*where, tty=tty, stdin=stdin))
        return socket

    async def log(self, request: web.Request) -> web.StreamResponse:
        where = _place(request)
        try:
            options = logs.Options.parse(request.query, now=time.time())
        except ValueError as error:
            raise StreamError.bad_request(str(error)) from error
        path = self._containers.log_path(*where)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async for piece in logs.read(
                path, options, running=lambda: request.transport is not None and self._still_running(where)
            ):
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass  # the reader has seen enough
        return response

    async def portforward(self, request: web.Request) -> web.StreamResponse:
        namespace, pod, _ = self._running(request)
        socket = await _upgraded(request, (portforward.PROTOCOL,))

        async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            try:
                async with asyncio.timeout(DIAL_TIMEOUT):
                    return await self._containers.dial(namespace, pod, port)
            except StreamError as error:
                raise ConnectionError(error.message) from error

        await portforward.Forwarder(socket, dial).run()
        return socket

    def _running(self, request: web.Request) -> tuple[str, str, str]:
        namespace, pod, container = where = _place(request)
        if not self._containers.running(*where):
            what = f'container "{container}" of pod "{pod}"' if container else f'pod "{pod}"'
            raise StreamError.bad_request(f"{what} in namespace {namespace} is not running")
        return where

    def _still_running(self, where: tuple[str, str, str]) -> bool:
        try:
            return self._containers.running(*where)
        except StreamError:
            return False


async def _upgraded(request: web.Request, protocols: Sequence[str]) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=protocols, compress=False, max_msg_size=0)
    ready = socket.can_prepare(request)
    if not ready.ok:
        raise StreamError.bad_request("unable to upgrade: only websockets are served here, use kubectl 1.31 or later")
    if not ready.protocol:
        offered = request.headers.get("Sec-WebSocket-Protocol", "none")
        raise StreamError.bad_request(f"unable to upgrade: {offered} is not among {', '.join(protocols)}")
    await socket.prepare(request)
    return socket


def _place(request: web.Request) -> tuple[str, str, str]:
    return request.match_info["namespace"], request.match_info["pod"], request.query.get("container", "")


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name) in ("true", "1")
