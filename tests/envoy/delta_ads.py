"""A delta ADS server as small as it can be: a dictionary of resources, pushed to whoever subscribed to them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import Message

from isthmus.envoy import absent
from isthmus.envoy.resources import TYPE_URL_PREFIX, Encoded, encode

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
LISTENER = TYPE_URL_PREFIX + "envoy.config.listener.v3.Listener"
EVERYONE = ""


class Stream:
    def __init__(self) -> None:
        self.node = ""
        self.names: dict[str, set[str]] = {}
        self.responses: asyncio.Queue[bytes] = asyncio.Queue()
        self.nonce = 0
        self.unheard: set[str] = set()
        """Responses that the proxy has neither taken nor refused yet."""

    def wants(self, kind: str, name: str) -> bool:
        return kind == LISTENER or name in self.names.get(kind, ())

    def send(self, kind: str, resources: list[Encoded], removed: list[str]) -> None:
        self.nonce += 1
        response = discovery_pb2.DeltaDiscoveryResponse(
            type_url=kind, nonce=str(self.nonce), removed_resources=removed, system_version_info="1"
        )
        for resource in resources:
            added = response.resources.add(name=resource.name, version=resource.version)
            added.resource.type_url = kind
            added.resource.value = resource.body
        self.unheard.add(response.nonce)
        self.responses.put_nowait(response.SerializeToString())


class Ads(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self.resources: dict[tuple[str, str, str], Encoded] = {}
        self.streams: set[Stream] = set()
        self.asked: list[tuple[str, str]] = []
        """(node, cluster) for every cluster any proxy asked for."""
        self.refused: list[str] = []
        """What Envoy said to resources it did not take."""

    def put(self, *messages: Message, node: str = EVERYONE) -> None:
        for message in messages:
            resource = encode(message)
            self.resources[node, resource.type_url, resource.name] = resource
            for stream in self.streams:
                if node in (EVERYONE, stream.node) and stream.wants(resource.type_url, resource.name):
                    stream.send(resource.type_url, [resource], [])

    def heard(self, node: str) -> bool:
        """Whether a proxy has answered to everything that it was sent."""
        return not any(stream.unheard for stream in self.streams if stream.node == node)

    def find(self, node: str, kind: str, name: str) -> Encoded | None:
        return self.resources.get((node, kind, name)) or self.resources.get((EVERYONE, kind, name))

    def service(self, details: Any) -> Any:
        if details.method != METHOD:
            return None
        return grpc.stream_stream_rpc_method_handler(self.serve)

    async def serve(self, requests: AsyncIterator[bytes], context: Any) -> None:
        stream = Stream()
        self.streams.add(stream)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(stream, context))
                async for request in requests:
                    self._read(stream, discovery_pb2.DeltaDiscoveryRequest.FromString(request))
                writer.cancel()
        finally:
            self.streams.discard(stream)

    async def _write(self, stream: Stream, context: Any) -> None:
        while True:
            await context.write(await stream.responses.get())

    def _read(self, stream: Stream, request: Any) -> None:
        stream.node = request.node.id or stream.node
        kind = request.type_url
        stream.unheard.discard(request.response_nonce)
        if request.HasField("error_detail"):
            self.refused.append(f"{stream.node}: {request.error_detail.message}")
        first = kind not in stream.names
        subscribed = stream.names.setdefault(kind, set())
        subscribed.update(request.resource_names_subscribe)
        subscribed.difference_update(request.resource_names_unsubscribe)
        if first and kind == LISTENER:
            found = [r for (node, k, _), r in self.resources.items() if node == stream.node and k == kind]
            stream.send(kind, found, [])
        elif request.resource_names_subscribe:
            if kind.endswith(".Cluster"):
                self.asked += [(stream.node, name) for name in request.resource_names_subscribe]
                for name in request.resource_names_subscribe:
                    if not self.find(stream.node, kind, name):
                        self.put(absent.cluster(name), node=stream.node)
            answers = {name: self.find(stream.node, kind, name) for name in request.resource_names_subscribe}
            stream.send(kind, [r for r in answers.values() if r], [n for n, r in answers.items() if not r])
