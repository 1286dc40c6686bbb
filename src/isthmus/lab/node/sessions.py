"""A program in a container and a user at the other end of a websocket: exec and attach, once both are there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSMsgType, web

from isthmus.lab.node import channels
from isthmus.lab.node.contracts import ExecProcess, StreamError

IDLE_PIPES: Final = 0.25
"""How long the output of an ended program may be silent before it counts as over: a child of it may keep it open."""
_CHUNK: Final = 32 * 1024


async def serve(socket: web.WebSocketResponse, start: Callable[[], Awaitable[ExecProcess]]) -> None:
    """Start it for a connected client, which is thus told if it cannot be started, and stay to the end."""
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
