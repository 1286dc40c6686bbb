"""A tiny Kubernetes API in this process: lists, watches and writes, with a history that a test can cut off."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Object = dict[str, Any]


class Api:
    """Objects by path; every write is an event with its own resource version."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Object]] = {}
        self.version = 10
        self.oldest = 0
        self.requests: list[str] = []
        self.refuse: tuple[int, str, str] | None = None
        self.url = ""
        self._events: list[tuple[int, str, str, Object]] = []
        self._changed = asyncio.Condition()
        self._broken = 0
        self.watching = asyncio.Event()

    async def put(self, path: str, name: str, **content: Any) -> None:
        """Create or change an object of the collection at `path`."""
        kind = "MODIFIED" if name in self.objects.get(path, {}) else "ADDED"
        metadata = {"name": name, **content.pop("metadata", {})}
        await self._write(kind, path, name, {"metadata": metadata, **content})

    async def remove(self, path: str, name: str) -> None:
        await self._write("DELETED", path, name, self.objects[path][name])

    async def forget(self) -> None:
        """Drop the history, as compaction does, and every open watch."""
        self.oldest = self.version
        await self.cut()

    async def cut(self) -> None:
        """Break every open watch."""
        self.watching.clear()
        async with self._changed:
            self._broken += 1
            self._changed.notify_all()

    async def _write(self, kind: str, path: str, name: str, item: Object) -> None:
        async with self._changed:
            self.version += 1
            item = item | {"metadata": item["metadata"] | {"resourceVersion": str(self.version)}}
            self._events.append((self.version, path, kind, item))
            if kind == "DELETED":
                del self.objects[path][name]
            else:
                self.objects.setdefault(path, {})[name] = item
            self._changed.notify_all()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        if self.refuse:
            return _status(*self.refuse)
        path = request.path
        if request.method == "POST":
            body = await request.json()
            name = body["metadata"].get("name") or f"{body['metadata']['generateName']}{self.version}"
            if name in self.objects.get(path, {}):
                return _status(409, "AlreadyExists", f'"{name}" already exists')
            await self.put(path, **(body | {"name": name}))
            return web.json_response(self.objects[path][name])
        if request.method == "PATCH":
            return await self._patch(request)
        if request.method == "DELETE":
            folder, _, name = path.rpartition("/")
            await self.remove(folder, name)
            return web.json_response({"kind": "Status"})
        if "watch" in request.query:
            return await self._watch(request)
        folder, _, name = path.rpartition("/")
        if name in self.objects.get(folder, {}):
            return web.json_response(self.objects[folder][name])
        if _names_an_object(path):
            return _status(404, "NotFound", f'"{name}" not found')
        items = [item for item in self.objects.get(path, {}).values() if _selected(request, item)]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _patch(self, request: web.Request) -> web.Response:
        folder, _, name = request.path.rpartition("/")
        body = json.loads(await request.text())
        old = self.objects.get(folder, {}).get(name, {"metadata": {"name": name}})
        wanted = body.get("metadata", {}).pop("resourceVersion", None)
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        await self._write(
            "MODIFIED" if name in self.objects.get(folder, {}) else "ADDED", folder, name, _merge(old, body)
        )
        return web.json_response(self.objects[folder][name])

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if since < self.oldest:
            error = {"code": 410, "reason": "Expired", "message": "too old"}
            await response.write(_line({"type": "ERROR", "object": error}))
            return response
        broken = self._broken
        self.watching.set()
        while broken == self._broken:
            for version, path, kind, item in list(self._events):
                if version > since and path == request.path and _selected(request, item):
                    await response.write(_line({"type": kind, "object": item}))
            since = self.version
            bookmark = {"kind": "Bookmark", "metadata": {"resourceVersion": str(since)}}
            await response.write(_line({"type": "BOOKMARK", "object": bookmark}))
            async with self._changed:
                await self._changed.wait_for(lambda: self.version > since or broken != self._broken)  # noqa: B023
        if request.transport:
            request.transport.close()
        return response


def _names_an_object(path: str) -> bool:
    """Whether there is a name behind the collection."""
    _, root, *parts = path.split("/")
    parts = parts[1 if root == "api" else 2 :]
    return len(parts[2:] if parts[0] == "namespaces" and len(parts) > 2 else parts) > 1


def _selected(request: web.Request, item: Object) -> bool:
    """Whether the field selector, which may ask for a name only, takes the object."""
    name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
    return name in ("", item["metadata"]["name"])


def _line(event: Object) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": reason, "message": message}, status=code)


def _merge(old: Any, new: Any) -> Any:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    merged = old | {key: _merge(old.get(key), value) for key, value in new.items()}
    return {key: value for key, value in merged.items() if value is not None}


@asynccontextmanager
async def running() -> AsyncIterator[Api]:
    """The API, served on a port of 127.0.0.1 that the kernel chose."""
    api = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    api.url = f"http://{host}:{port}"
    try:
        yield api
    finally:
        await api.cut()
        await runner.cleanup()


def kubeconfig(url: str) -> dict[str, Any]:
    return {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
    }
