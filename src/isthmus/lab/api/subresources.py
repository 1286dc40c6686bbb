"""Subresources that are more than a part of their object: scale, binding, eviction, tokens, streams; and reviews."""

from aiohttp import web

from isthmus.lab.api import deletion, proxying, requests, scale, status, transient
from isthmus.lab.api.bodies import Target
from isthmus.lab.api.calls import Call, Parts, reply
from isthmus.lab.api.contracts import Object
from isthmus.lab.api.patching import patcher

_STREAMS = ("exec", "attach", "portforward", "log")


async def serve(parts: Parts, call: Call) -> web.StreamResponse:
    """Answer a request to one of them; raises `ApiError` 404 for others."""
    where, info = call.where, call.info
    match where.subresource:
        case name if name in _STREAMS:
            pod = parts.objects.read(Target(info, where.namespace, where.name))
            return await parts.streaming.proxy(call.request, pod, name)
        case "proxy":
            return await proxying.proxy(
                call.request,
                store=parts.store,
                resource=info.resource,
                namespace=where.namespace,
                name=where.name,
            )
        case "token":
            parts.objects.read(Target(info, where.namespace, where.name))
            return await review(parts, call, "TokenRequest")
        case "scale":
            return await _scale(parts, call)
        case "binding":
            return await _bind(parts, call)
        case "eviction":
            return await _evict(parts, call)
        case _:
            raise status.no_such_path()


async def _scale(parts: Parts, call: Call) -> web.StreamResponse:
    target = Target(call.info, call.where.namespace, call.where.name)
    paths = parts.definitions.scale_paths(call.info)
    current = parts.objects.read(target)
    match call.request.method:
        case "GET":
            return reply(scale.view(current, paths))
        case "PUT":
            body = await requests.body(call.request)

            def change(obj: Object) -> Object:
                return scale.scaled(obj, body, paths)

        case "PATCH":
            given, kind = requests.json_value(await call.request.read()), requests.content_type(call.request)
            patched = patcher(scale.INFO, kind, given, parts.objects.shapes(scale.INFO))

            def change(obj: Object) -> Object:
                return scale.scaled(obj, patched(scale.view(obj, paths)), paths)

        case _:
            raise status.method_not_allowed()
    return reply(scale.view(await parts.objects.update(target, change, call.options()), paths))


async def _bind(parts: Parts, call: Call) -> web.StreamResponse:
    """pods/NAME/binding: how a scheduler places a pod."""
    if call.request.method != "POST":
        raise status.method_not_allowed()
    body = transient.checked("Binding", await requests.body(call.request), transient.Binding)
    node = (body.get("target") or {}).get("name")
    if not node:
        raise status.bad_request("a Binding needs target.name, the node to run on")
    target = Target(call.info, call.where.namespace, call.where.name)

    def bind(pod: Object) -> Object:
        return pod | {"spec": pod["spec"] | {"nodeName": node}}

    await parts.objects.update(target, bind, call.options())
    return reply(status.success(call.info, call.where.name, "") | {"code": 201}, 201)


async def _evict(parts: Parts, call: Call) -> web.StreamResponse:
    """pods/NAME/eviction: a delete that `kubectl drain` asks for. Disruption budgets are not looked at."""
    if call.request.method != "POST":
        raise status.method_not_allowed()
    body = transient.checked("Eviction", await requests.body(call.request), transient.Eviction)
    given = body.get("deleteOptions") or {}
    target = Target(call.info, call.where.namespace, call.where.name)
    await parts.objects.delete(target, deletion.parse(given, {}), call.options())
    return reply(status.success(call.info, call.where.name, "") | {"code": 201}, 201)


async def review(parts: Parts, call: Call, kind: str) -> web.StreamResponse:
    """Answer a question that is asked by creating an object, which is not stored."""
    if call.request.method != "POST":
        raise status.method_not_allowed()
    body = transient.checked(kind, await requests.body(call.request), transient.Review)
    answer = await parts.reviews.handle(kind, call.user, body, call.where.namespace, call.where.name)
    return reply(answer, 201)
