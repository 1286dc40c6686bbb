"""From HTTP to objects and back: one handler for every resource path."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from isthmus.lab.api import columns, deletion, listing, proxying, requests, scale, selectors, status, tables, watch
from isthmus.lab.api.bodies import Options, Target, accept, served
from isthmus.lab.api.contracts import ApiError, Asked, Authorizer, Object, ResourceInfo, Reviews, Streaming, User
from isthmus.lab.api.crd import Definitions
from isthmus.lab.api.objects import Objects
from isthmus.lab.api.patch import json_patch, merge_patch
from isthmus.lab.api.registry import REVIEWS, Registry
from isthmus.lab.api.store import Store
from isthmus.lab.api.strategic import strategic_merge_patch

_STREAMS = ("exec", "attach", "portforward", "log")


@dataclass(frozen=True)
class Parts:
    """What the handlers work with."""

    store: Store
    registry: Registry
    definitions: Definitions
    objects: Objects
    watches: watch.Watches
    authorizer: Authorizer
    reviews: Reviews
    streaming: Streaming


@dataclass(frozen=True)
class Call:
    """One request to one resource, authenticated and authorized."""

    request: web.Request
    where: requests.Address
    info: ResourceInfo
    user: User

    @property
    def target(self) -> Target:
        return Target(self.info, self.where.namespace, self.where.name, self.where.subresource)

    def options(self, *, needs_manager: bool = False) -> Options:
        query = self.request.query
        manager = query.get("fieldManager", "")
        if needs_manager and not manager:
            missing = "Required value: is required for apply patch"
            raise status.invalid_options("PatchOptions", [("fieldManager", missing)])
        agent = self.request.headers.get("User-Agent", "unknown").partition("/")[0]
        return Options(
            user=self.user,
            manager=(manager or agent or "unknown")[:128],
            dry_run=requests.dry_run(query),
            force=requests.truth(query, "force"),
            unknown=requests.strictness(query),
        )


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
        call = Call(request, where, info, user)
        if where.subresource:
            return await self._subresource(call)
        if info.kind in REVIEWS and not info.custom:
            return await self._review(call, info.kind)
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
            matches=selectors.matcher(query.get("labelSelector", ""), query.get("fieldSelector", "")),
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
            matches=selectors.matcher(query.get("labelSelector", ""), fields),
            seconds=requests.integer(query, "timeoutSeconds"),
            bookmarks=requests.truth(query, "allowWatchBookmarks"),
            initial_events=None if initial is None else requests.truth(query, "sendInitialEvents"),
            render=listing.renderer(requests.wanted(call.request), shown, _include(call.request)),
        )
        return await self._parts.watches.serve(call.request, asked)

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
        patched = self._patcher(call.info, kind, requests.json_value(raw))
        return self._answer(call, await self._parts.objects.update(call.target, patched, call.options()))

    def _patcher(self, info: ResourceInfo, kind: str, body: Any) -> Callable[[Object], Object]:
        """The function a patch of this type is."""
        if kind == requests.JSON_PATCH:
            return lambda obj: _object(json_patch(obj, body))
        if not isinstance(body, dict):
            raise status.bad_request("error decoding patch: the patch is not an object")
        if kind == requests.MERGE_PATCH:
            return lambda obj: _object(merge_patch(obj, body))
        if kind == requests.STRATEGIC_PATCH and not info.custom:
            shapes = self._parts.objects.shapes(info)
            return lambda obj: strategic_merge_patch(obj, body, shapes)
        raise status.unsupported_media_type(kind, requests.PATCHES)

    async def _delete(self, call: Call) -> web.StreamResponse:
        options, wanted = await self._deletion(call)
        last, gone = await self._parts.objects.delete(call.target, wanted, options)
        if gone:
            return reply(status.success(call.info, call.where.name, last["metadata"].get("uid", "")))
        return self._answer(call, last)

    async def _delete_collection(self, call: Call) -> web.StreamResponse:
        options, wanted = await self._deletion(call)
        query = call.request.query
        matches = selectors.matcher(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        store, info = self._parts.store, call.info
        deleted = []
        for obj in store.list(info.group, info.resource, call.where.namespace):
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

    # --- subresources ---------------------------------------------------------------------------------------------
    async def _subresource(self, call: Call) -> web.StreamResponse:
        where, info = call.where, call.info
        if where.subresource not in info.subresources:
            raise status.no_such_path()
        match where.subresource:
            case name if name in _STREAMS:
                self._parts.objects.read(Target(info, where.namespace, where.name))
                return await self._parts.streaming.proxy(call.request, where.namespace, where.name, name)
            case "proxy":
                return await proxying.proxy(
                    call.request,
                    store=self._parts.store,
                    resource=info.resource,
                    namespace=where.namespace,
                    name=where.name,
                )
            case "token":
                self._parts.objects.read(Target(info, where.namespace, where.name))
                return await self._review(call, "TokenRequest")
            case "scale":
                return await self._scale(call)
            case "binding":
                return await self._bind(call)
            case "eviction":
                return await self._evict(call)
            case "status" | "finalize":
                return await self._object_handler(call)(call)
            case _:
                raise status.no_such_path()

    async def _scale(self, call: Call) -> web.StreamResponse:
        target = Target(call.info, call.where.namespace, call.where.name)
        paths = self._parts.definitions.scale_paths(call.info)
        current = self._parts.objects.read(target)
        match call.request.method:
            case "GET":
                return reply(scale.view(current, paths))
            case "PUT":
                body = await requests.body(call.request)

                def change(obj: Object) -> Object:
                    return scale.scaled(obj, body, paths)

            case "PATCH":
                patcher = self._patcher(
                    scale.INFO, requests.content_type(call.request), requests.json_value(await call.request.read())
                )

                def change(obj: Object) -> Object:
                    return scale.scaled(obj, patcher(scale.view(obj, paths)), paths)

            case _:
                raise status.method_not_allowed()
        return reply(scale.view(await self._parts.objects.update(target, change, call.options()), paths))

    async def _bind(self, call: Call) -> web.StreamResponse:
        """pods/NAME/binding: how a scheduler places a pod."""
        body = await requests.body(call.request)
        node = (body.get("target") or {}).get("name") if isinstance(body, dict) else None
        if call.request.method != "POST" or not isinstance(node, str) or not node:
            raise status.bad_request("a Binding needs target.name, the node to run on")
        target = Target(call.info, call.where.namespace, call.where.name)

        def bind(pod: Object) -> Object:
            return pod | {"spec": pod["spec"] | {"nodeName": node}}

        await self._parts.objects.update(target, bind, call.options())
        return reply(status.success(call.info, call.where.name, "") | {"code": 201}, 201)

    async def _evict(self, call: Call) -> web.StreamResponse:
        """pods/NAME/eviction: a delete that `kubectl drain` asks for. Disruption budgets are not looked at."""
        body = await requests.body(call.request)
        given = (body.get("deleteOptions") or {}) if isinstance(body, dict) else {}
        target = Target(call.info, call.where.namespace, call.where.name)
        await self._parts.objects.delete(target, deletion.parse(given, {}), call.options())
        return reply(status.success(call.info, call.where.name, "") | {"code": 201}, 201)

    async def _review(self, call: Call, kind: str) -> web.StreamResponse:
        if call.request.method != "POST":
            raise status.method_not_allowed()
        body = await requests.body(call.request)
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise status.bad_request("the body of the request is not an object")
        answer = await self._parts.reviews.handle(kind, call.user, body, call.where.namespace, call.where.name)
        return reply(answer, 201)


def authorize(authorizer: Authorizer, *, user: User, verb: str, where: requests.Address | None, path: str) -> None:
    """Raise `ApiError` 403 unless the user may."""
    if where is None:
        allowed, why = authorizer.allowed(user, Asked(verb, path=path))
        if not allowed:
            message = f'forbidden: User "{user.name}" cannot {verb} path "{path}"' + (f": {why}" if why else "")
            raise ApiError(403, "Forbidden", message)
        return
    asked = Asked(verb, where.group, where.resource, where.subresource, where.namespace, where.name)
    allowed, why = authorizer.allowed(user, asked)
    if allowed:
        return
    resource = f"{where.resource}/{where.subresource}" if where.subresource else where.resource
    scope = f'in the namespace "{where.namespace}"' if where.namespace else "at the cluster scope"
    message = f'User "{user.name}" cannot {verb} resource "{resource}" in API group "{where.group}" {scope}'
    about = ResourceInfo(where.group, where.version, where.resource, "", bool(where.namespace))
    raise status.forbidden(about, where.name, message + (f": {why}" if why else ""))


def reply(obj: Object, code: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(obj), status=code, content_type="application/json")


def _object(value: Any) -> Object:
    if not isinstance(value, dict):
        raise status.bad_request("the patch leaves something that is not an object")
    return value


def _include(request: web.Request) -> str:
    return request.query.get("includeObject", "Metadata")
