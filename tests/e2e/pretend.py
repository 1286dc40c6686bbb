"""Servers that are not what they seem, for a lab's network: `pretend.py FILE` prints the port of each as JSON.

FILE has one JSON object: name -> {"chain": PEM file, "key": PEM file} for a TLS server that shows this certificate;
with "upstream": [host, port] what comes is passed on there, and its clock told "ahead" seconds late.
"""

import asyncio
import json
import re
import ssl
import sys
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

DATE = re.compile(rb"(?i)\r\ndate: ([^\r]{29})\r\n")


def late(data: bytes, seconds: float) -> bytes:
    """An HTTP answer's head, as a server whose clock is ahead sends it; its length stays."""

    def shifted(found: "re.Match[bytes]") -> bytes:
        moment = parsedate_to_datetime(found[1].decode()) + timedelta(seconds=seconds)
        return b"\r\nDate: " + format_datetime(moment, usegmt=True).encode() + b"\r\n"

    return DATE.sub(shifted, data)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ahead: float) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(late(data, ahead) if ahead else data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(kind: dict[str, Any]) -> asyncio.Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kind["chain"], kind["key"])

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "upstream" not in kind:
            await pump(reader, writer, 0.0)
            return
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        there, back = await asyncio.open_connection(*kind["upstream"], ssl=trusting)
        await asyncio.gather(pump(reader, back, 0.0), pump(there, writer, float(kind["ahead"])))

    return await asyncio.start_server(accept, "0.0.0.0", 0, ssl=context)


async def main(kinds: dict[str, Any]) -> None:
    servers = {name: await serve(kind) for name, kind in kinds.items()}
    print(json.dumps({name: server.sockets[0].getsockname()[1] for name, server in servers.items()}), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers.values()))


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
