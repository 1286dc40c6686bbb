"""`python -m bench.tracing`: what spans cost a proxy for each request. No lab.

Pairs of the tests' Envoys on loopback, loaded in turns; they differ only in how many traces begin at them.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import grpc
from tests.envoy.harness import mesh

from bench.metrics import WITHOUT, compare, pair
from isthmus.resources.tracing import WHOLE

SAMPLINGS: Final = {WITHOUT: None, "with no trace": 0, "with 1 % of traces": WHOLE // 100, "with every trace": WHOLE}


class Collector(grpc.GenericRpcHandler):
    """Takes everything and looks at nothing."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self.export)

    async def export(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return b""


async def main() -> None:
    collector = grpc.aio.server()
    collector.add_generic_rpc_handlers((Collector(),))
    port = collector.add_insecure_port("127.0.0.1:0")
    await collector.start()
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        async with mesh(Path(folder) / "cost") as running, AsyncExitStack() as stack:
            running.collector = ("127.0.0.1", port)
            pairs = {
                name: await stack.enter_async_context(
                    pair(running, Path(folder), name.replace(" ", "-").replace("%", "percent"), sampling=sampling)
                )
                for name, sampling in SAMPLINGS.items()
            }
            await compare(pairs, of="spans")
    await collector.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
