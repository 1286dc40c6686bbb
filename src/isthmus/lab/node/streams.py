"""The node's side of exec, attach, logs and port-forward: what the API server passes on, byte for byte.

The kubelet implements `Containers`; this module speaks the Kubernetes protocols on top of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec
from aiohttp import WSMsgType, web

from isthmus.lab.node import channels, logs, portforward

STATUS_HEADER: Final = "X-Kubernetes-Status"
"""A refusal's Status once more, for websocket clients: they see the headers of a refused handshake, not its body."""
DIAL_TIMEOUT: Final = 10.0
IDLE_PIPES: Final = 0.25
"""How long the output of an ended program may be silent before it counts as over: a child of it may keep it open."""
_CHUNK: Final = 32 * 1024


class StreamError(Exception):
    """A refusal that the user sees as a Kubernetes Status: HTTP code, machine-readable reason, one sentence."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message

    @classmethod
    def not_found(cls, message: str) -> "StreamError":
        """The pod or the container does not exist."""
        return cls(404, "NotFound", message)

    @classmethod
    def bad_request(cls, message: str) -> "StreamError":
        """It exists, but cannot do that now: not started, already ended, no terminal."""
        return cls(400, "BadRequest", message)

    @classmethod
    def internal(cls, message: str) -> "StreamError":
        """The node tried and failed: the program is not in the image, the port refuses connections."""
        return cls(500, "InternalError", message)


class ExecProcess(Protocol):
    """A program in a container with its streams. With a terminal there is no stderr: both arrive on stdout."""

    @property
    def stdin(self) -> asyncio.StreamWriter | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader: ...

    @property
    def stderr(self) -> asyncio.StreamReader | None: ...

    async def wait(self) -> int:
        """The exit code, 128 + signal number for a program that was killed.

        As soon as the program itself has ended, even if a child of it still holds its pipes; mind that
        `asyncio.subprocess.Process.wait` waits for those too.
        """
        ...

    def resize(self, width: int, height: int) -> None:
        """The user's terminal has a new size. Without a terminal: nothing."""
        ...

    def kill(self) -> None:
        """Nobody reads or writes any more: ends an exec, only detaches an attach. Called last, and maybe before."""
        ...


class Containers(Protocol):
    """What the kubelet offers. Every method raises StreamError when it cannot."""

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> ExecProcess:
        """Start a program in a running container. An empty `container` means the pod's default one."""
        ...

    async def attach(self, namespace: str, pod: str, container: str, *, tty: bool, stdin: bool) -> ExecProcess:
        """The container's own main process, from now on."""
        ...

    def log_path(self, namespace: str, pod: str, container: str) -> Path:
        """The file its output goes to: lines as they are, or with a time each (`logs.line`)."""
        ...

    def running(self, namespace: str, pod: str, container: str) -> bool:
        """Whether more output may come; following a log ends when it turns false."""
        ...

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection to localhost:port inside the pod's network namespace."""
        ...


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
            body = msgspec.json.encode(status)
            # JSON leaves other scripts as they are, headers take ASCII only.
            header = {STATUS_HEADER: body.decode().encode("ascii", "backslashreplace").decode()}
            return web.Response(status=error.code, body=body, content_type="application/json", headers=header)

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
        return await _interactive(request, lambda: self._containers.exec(*where, command, tty=tty, stdin=stdin))

    async def attach(self, request: web.Request) -> web.StreamResponse:
        where = self._running(request)
        tty, stdin = _flag(request, "tty"), _flag(request, "stdin")
        return await _interactive(request, lambda: self._containers.attach(*where, tty=tty, stdin=stdin))

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


async def _interactive(request: web.Request, start: Callable[[], Awaitable[ExecProcess]]) -> web.StreamResponse:
    """Exec and attach: start it once the client is connected, so that a program that fails to start is told there."""
    socket = await _upgraded(request, channels.PROTOCOLS)
    try:
        # What tells the client that its output is connected, before there is any.
        await socket.send_bytes(channels.encode(channels.Channel.STDOUT, b""))
        try:
            process = await start()
        except StreamError as error:
            last = channels.failure(error.message, reason=error.reason, code=error.code)
        else:
            try:
                last = channels.exit_status(await _converse(socket, process))
            finally:
                process.kill()
        await socket.send_bytes(last)
        await socket.close()
    except ConnectionError:
        pass  # the client hung up, and its program has been ended
    return socket


async def _converse(socket: web.WebSocketResponse, process: ExecProcess) -> int:
    """Carry input and output until the program has ended and all its output is sent."""
    pieces = 0
    sending = 0

    async def carry(stream: asyncio.StreamReader, channel: channels.Channel) -> None:
        nonlocal pieces, sending
        while data := await _read(stream):
            pieces += 1
            sending += 1
            await socket.send_bytes(channels.encode(channel, data))
            sending -= 1

    outputs = {channels.Channel.STDOUT: process.stdout, channels.Channel.STDERR: process.stderr}
    tasks = [asyncio.create_task(carry(stream, channel)) for channel, stream in outputs.items() if stream]
    listening = asyncio.create_task(_listen(socket, process))
    try:
        code = await process.wait()
        before = -1
        while any(not task.done() for task in tasks) and (sending or pieces != before):
            before = pieces
            await asyncio.wait(tasks, timeout=IDLE_PIPES)
        return code
    finally:
        for task in (*tasks, listening):
            task.cancel()
        await asyncio.gather(*tasks, listening, return_exceptions=True)


async def _listen(socket: web.WebSocketResponse, process: ExecProcess) -> None:
    """Do what the client says, until it hangs up: then nobody waits for the program any more."""
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await _obey(channels.decode(message.data), process)
    process.kill()


async def _obey(message: channels.ClientMessage, process: ExecProcess) -> None:
    match message:
        case channels.Resize(width, height):
            process.resize(width, height)
        case channels.Input(data) if process.stdin and data:
            try:
                process.stdin.write(data)
                await process.stdin.drain()
            except OSError:
                return  # the program does not read any more; that is its choice
        case channels.InputEnd() if process.stdin:
            process.stdin.close()


async def _read(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.read(_CHUNK)
    except OSError:
        return b""  # how a terminal says that its program is gone


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
