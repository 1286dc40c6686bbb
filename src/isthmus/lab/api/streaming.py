"""The way from the API server to the node: exec, attach, logs and port-forward, passed on as they are."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiohttp import WSMsgType, web
from yarl import URL

from isthmus.lab.api.contracts import ApiError, Object
from isthmus.lab.api.status import bad_request

STATUS_HEADER: Final = "X-Kubernetes-Status"
"""Where the node repeats the Status of a refused websocket handshake, whose body clients do not get to see."""
CONNECT_TIMEOUT: Final = 5.0
ANSWER_TIMEOUT: Final = 15.0
"""How long a node may take to begin its answer: one that hangs takes connections all the same."""
READER_CHECK: Final = 1.0
"""How often a log that is followed but silent looks whether its reader is still there."""
_NODE: Final = "http://node"

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


@dataclass(frozen=True)
class NodeStreaming:
    """Pipes to kubelets, each behind a unix socket. In its path, `{node}` stands for the node's name."""

    socket: Path

    async def proxy(self, request: web.Request, pod: Object, subresource: str) -> web.StreamResponse:
        """Answer as the node does: a stream of messages if the client asks for a websocket, of bytes if not."""
        metadata, node = pod["metadata"], pod["spec"].get("nodeName")
        if not node:
            raise bad_request(f"pod {metadata['name']} does not have a host assigned")
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
        if "/" in node:
            raise ApiError(404, "NotFound", f'nodes "{node}" not found')
        connector = aiohttp.UnixConnector(path=str(self.socket).replace("{node}", node))
        path = f"{_NODE}/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/{subresource}"
        target = path + (f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else "")
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            try:
                if request.headers.get("Upgrade", "").lower() == "websocket":
                    return await _messages(request, session, target)
                return await _bytes(request, session, target)
            except aiohttp.ClientConnectorError as error:
                message = (
                    f"Internal error occurred: error dialing backend: {error.strerror or error}: is the node running?"
                )
                raise ApiError(500, "InternalError", message) from error
            except TimeoutError as error:
                words = f"node {node} did not answer within {ANSWER_TIMEOUT:g} s: does it hang?"
                raise ApiError(500, "InternalError", f"Internal error occurred: {words}") from error


async def _bytes(request: web.Request, session: aiohttp.ClientSession, target: str) -> web.StreamResponse:
    async with asyncio.timeout(ANSWER_TIMEOUT):
        answer = await session.request(request.method, URL(target, encoded=True))
    async with answer:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]})
        await response.prepare(request)
        try:
            while request.transport is not None:
                try:
                    chunk = await asyncio.wait_for(answer.content.readany(), READER_CHECK)
                except TimeoutError:
                    continue
                if not chunk:
                    await response.write_eof()
                    break
                await response.write(chunk)
        except ConnectionError:
            pass  # the reader has seen enough
        return response


async def _messages(request: web.Request, session: aiohttp.ClientSession, target: str) -> web.StreamResponse:
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            node = await session.ws_connect(URL(target, encoded=True), protocols=offered, max_msg_size=0, compress=0)
    except aiohttp.WSServerHandshakeError as error:
        raise _refusal(error) from error
    async with node:
        client = web.WebSocketResponse(protocols=[node.protocol or ""], compress=False, max_msg_size=0)
        await client.prepare(request)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pipe(client, node))
            group.create_task(_pipe(node, client))
        return client


async def _pipe(source: Socket, sink: Socket) -> None:
    """Pass messages on until one side closes, then close the other with the same code."""
    try:
        async for message in source:
            match message.type:
                case WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case WSMsgType.TEXT:
                    await sink.send_str(message.data)
    except ConnectionError:
        pass  # the sink is gone; the other direction sees it too
    code = source.close_code
    await sink.close(code=code if code in (1000, 1002, 1011) else 1000)


def _refusal(error: aiohttp.WSServerHandshakeError) -> ApiError:
    said = error.headers.get(STATUS_HEADER, "") if error.headers else ""
    try:
        status = msgspec.json.decode(said)
        return ApiError(status["code"], status["reason"], status["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return ApiError(error.status, "InternalError", f"Internal error occurred: the node refused: {error.message}")
