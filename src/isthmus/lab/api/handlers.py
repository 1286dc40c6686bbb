"""From HTTP to objects and back: one handler for every resource path."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from isthmus.lab.api import (
    columns,
    completion,
    deletion,
    listing,
    requests,
    selectors,
    status,
    subresources,
    tables,
    watch,
)
from isthmus.lab.api.authorization import authorize
from isthmus.lab.api.bodies import Options, Target, accept, served
from isthmus.lab.api.calls import Call, Parts, reply
from isthmus.lab.api.contracts import Object, ResourceInfo, User
from isthmus.lab.api.patching import patcher
from isthmus.lab.api.registry import REVIEWS

_PARTS: Final = ("status", "finalize")
"""Subresources that are read and written as their object is."""


class Handlers:
    """Serves everything below /api/v1 and /apis/GROUP/VERSION."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, request: web.Request, where: requests.Address, user: User) -> web.StreamResponse:
        """Authorize a request and do what it asks."""
        parts = self._parts
        verb = requests.verb(request, where)
        authorize(
            parts.authorizer,
            user=user,
            verb=verb,
            where=requests.authorized_address(request, where),
            path=request.path,
        )
        info = parts.registry.find(where.group, where.version, where.resource)
        if info is None or (where.namespace and not info.namespaced):
            raise status.no_such_path()
        completion.warn(parts.definitions.deprecation(info))
        call = Call(request, where, info, user)
        if where.subresource and where.subresource not in info.subresources:
            raise status.no_such_path()
        if where.subresource and where.subresource not in _PARTS:
            return await subresources.serve(parts, call)
        if info.kind in REVIEWS and not info.custom:
            return await subresources.review(parts, call, info.kind)
        handler = self._collection_handler(call) if not where.name else self._object_handler(call)
        return await handler(call)

    def _collection_handler(self, call: Call) -> Callable[[Call], Awaitable[web.StreamResponse]]:
        match call.request.method:
            case "GET":
                return self._watch if requests.truth(call.request.query, "watch") else self._list
            case "POST" if call.where.namespace or not call.info.namespaced:
                return self._create
            case "DELETE" if call.where.namespace or not call.info.namespaced:
                return self._delete_collection
            case _:
                raise status.method_not_allowed()

    def _object_handler(self, call: Call) -> Callable[[Call], Awaitable[web.StreamResponse]]:
        if call.info.namespaced and not call.where.namespace:
            raise status.no_such_path()
        match call.request.method:
            case "GET" if requests.truth(call.request.query, "watch"):
                return self._watch
            case "GET":
                return self._get
            case "PUT":
                return self._update
            case "PATCH":
                return self._patch
            case "DELETE":
                return self._delete
            case _:
                raise status.method_not_allowed()

    # --- reading --------------------------------------------------------------------------------------------------
    async def _get(self, call: Call) -> web.StreamResponse:
        return self._answer(call, self._parts.objects.read(call.target))

    async def _list(self, call: Call) -> web.StreamResponse:
        query = call.request.query
        store = self._parts.store
        requests.check_versions(query, watching=False)
        exact = query.get("resourceVersionMatch") == "Exact"
        revision = requests.integer(query, "resourceVersion") if exact else None
        items, metadata = listing.chunk(
            store,
            call.target.kind,
            call.where.namespace,
            matches=self._matcher(call, query.get("fieldSelector", "")),
            limit=requests.integer(query, "limit"),
            place=listing.place(query.get("continue", ""), revision or store.revision),
        )
        items = [served(call.info, obj) for obj in items]
        wanted = requests.wanted(call.request)
        shown = self._columns(call.info) if wanted.kind == "Table" else []
        return reply(listing.rendered(call.info, items, metadata, wanted, shown, _include(call.request)))

    async def _watch(self, call: Call) -> web.StreamResponse:
        query = call.request.query
        fields = query.get("fieldSelector", "")
        if call.where.name:
            fields = f"metadata.name={call.where.name}"
        requests.check_versions(query, watching=True)
        initial = query.get("sendInitialEvents")
        shown = self._columns(call.info)
        asked = watch.Request(
            info=call.info,
            namespace=call.where.namespace,
            since=watch.since(query.get("resourceVersion", "")),
            matches=self._matcher(call, fields),
            seconds=requests.integer(query, "timeoutSeconds"),
            bookmarks=requests.truth(query, "allowWatchBookmarks"),
            initial_events=None if initial is None else requests.truth(query, "sendInitialEvents"),
            render=listing.renderer(requests.wanted(call.request), shown, _include(call.request)),
        )
        return await self._parts.watches.serve(call.request, asked)

    def _matcher(self, call: Call, fields: str) -> selectors.Predicate | None:
        info, labels = call.info, call.request.query.get("labelSelector", "")
        if not info.custom:
            return selectors.matcher(labels, fields)
        return selectors.matcher(
            labels, fields, {**selectors.FIELDS_OF_ALL, **self._parts.definitions.selectable(info)}
        )

    def _columns(self, info: ResourceInfo) -> list[tables.Column]:
        return columns.for_kind(info, self._parts.definitions.printer_columns(info))

    def _answer(self, call: Call, obj: Object, code: int = 200) -> web.Response:
        obj = served(call.info, obj)
        wanted = requests.wanted(call.request)
        if wanted.kind:
            shown = self._columns(call.info) if wanted.kind == "Table" else []
            render = listing.renderer(wanted, shown, _include(call.request))
            obj = obj if render is None else render(obj)
        return reply(obj, code)

    # --- writing --------------------------------------------------------------------------------------------------
    async def _create(self, call: Call) -> web.StreamResponse:
        body = await requests.body(call.request)
        created = await self._parts.objects.create(call.target, body, call.options())
        return self._answer(call, created, 201)

    async def _update(self, call: Call) -> web.StreamResponse:
        body = accept(call.target, await requests.body(call.request))
        updated = await self._parts.objects.update(call.target, lambda _: body, call.options())
        return self._answer(call, updated)

    async def _patch(self, call: Call) -> web.StreamResponse:
        kind = requests.content_type(call.request)
        raw = await call.request.read()
        if kind == requests.APPLY_PATCH:
            options = call.options(needs_manager=True)
            applied, is_new = await self._parts.objects.apply(call.target, requests.yaml_value(raw), options)
            return self._answer(call, applied, 201 if is_new else 200)
        objects = self._parts.objects
        patched = patcher(call.info, kind, requests.json_value(raw), objects.shapes(call.info))
        return self._answer(call, await objects.update(call.target, patched, call.options()))

    async def _delete(self, call: Call) -> web.StreamResponse:
        options, wanted = await self._deletion(call)
        last, gone = await self._parts.objects.delete(call.target, wanted, options)
        if gone:
            return reply(status.success(call.info, call.where.name, last["metadata"].get("uid", "")))
        return self._answer(call, last)

    async def _delete_collection(self, call: Call) -> web.StreamResponse:
        options, wanted = await self._deletion(call)
        query = call.request.query
        matches = self._matcher(call, query.get("fieldSelector", ""))
        store, info = self._parts.store, call.info
        deleted = []
        for obj in store.list(*info.stored, call.where.namespace):
            metadata = obj["metadata"]
            target = Target(info, metadata.get("namespace", ""), metadata["name"])
            if (matches is None or matches(obj)) and store.get(*target.kind, target.namespace, target.name) is not None:
                await self._parts.objects.delete(target, wanted, options)
                deleted.append(served(info, obj))
        metadata = {"resourceVersion": str(store.revision)}
        return reply(listing.rendered(info, deleted, metadata, requests.Wanted(), [], ""))

    async def _deletion(self, call: Call) -> tuple[Options, deletion.Request]:
        body = await requests.body(call.request) or {}
        options = call.options()
        if isinstance(body, dict) and body.get("dryRun") == ["All"]:
            options = Options(user=options.user, manager=options.manager, dry_run=True)
        return options, deletion.parse(body, call.request.query)


def _include(request: web.Request) -> str:
    return request.query.get("includeObject", "Metadata")
