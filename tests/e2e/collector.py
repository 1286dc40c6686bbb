"""A collector, to be run inside a pod: takes spans by OTLP over gRPC and prints each as a line of JSON."""

import asyncio
import json
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Collector(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.export) if call.method == METHOD else None

    async def export(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        for span in spans(request):
            print(json.dumps(span), flush=True)
        return b""


def spans(request: bytes) -> list[dict[str, Any]]:
    """The spans of an export, each with the attributes of who made it."""
    return [
        {
            "trace": span.trace_id.hex(),
            "span": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "state": span.trace_state,
            "name": span.name,
            "kind": span.kind,
            "failed": span.status.code == span.status.STATUS_CODE_ERROR,
            "began": span.start_time_unix_nano,
            "ended": span.end_time_unix_nano,
            "attributes": _values(span.attributes),
            "resource": _values(resource.resource.attributes),
        }
        for resource in trace_service_pb2.ExportTraceServiceRequest.FromString(request).resource_spans
        # What the format calls `scope_spans` since.
        for scope in resource.instrumentation_library_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}


async def main() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Collector(),))
    server.add_insecure_port("0.0.0.0:4317")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
