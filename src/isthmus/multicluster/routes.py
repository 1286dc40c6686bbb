"""What HTTPRoutes of this cluster's Services are told in their status: whether they are used, and if not, why."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.informers import Informers
from isthmus.kube.kinds import Kind, Object, plain
from isthmus.kube.meta import Key, key_of, resource_version_of
from isthmus.kube.watch import Informer, Signal
from isthmus.mesh import routes
from isthmus.mesh.routes import ACCEPTED, RESOLVED, Known, Problem
from isthmus.multicluster.local import Local
from isthmus.resources.routes import KINDS, HTTPRoute, ParentRef

log = logging.getLogger(__name__)

CONTROLLER: Final = names.ROUTE_CONTROLLER
"""Who says it, under the name that Linkerd says it by."""
_RETRY: Final = 5.0
_PAUSE: Final = 0.1
_SELDOM: Final = 5.0
"""Seconds between looks for definitions that many clusters will never have."""
Find = Callable[[Key], Known | None]


class RouteStatus:
    """Follows HTTPRoutes; `run` keeps true what their status says of Services."""

    def __init__(self, local: Local) -> None:
        self._local = local
        self._changed = Signal()
        self._routes = [
            Informer(
                local.client,
                plain(kind.api_version, kind.kind, kind.plural),
                optional=True,
                absent_seconds=_SELDOM,
            )
            for kind in KINDS
        ]
        for informer in self._routes:
            informer.on_change(self._changed.set)
        local.on_service_change(self._changed.set)
        self.informers = Informers(*self._routes)

    async def run(self) -> None:
        """Until cancelled."""
        await self.informers.synced()
        complete = True
        self._changed.set()
        while True:
            await self._changed.wait(None if complete else _RETRY)
            complete = await self._once()
            await asyncio.sleep(_PAUSE)

    async def _once(self) -> bool:
        """Write what is new; whether all of it could be written."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = [
            await self._write(informer.kind, item, parents)
            for informer in self._routes
            for item in list(informer.store.values())
            if (parents := told(item, self._find, now=now)) is not None
        ]
        return all(found)

    def _find(self, key: Key) -> Known | None:
        service = self._local.services.get(key)
        if service is None:
            return None
        return Known(frozenset(port.port for port in service.spec.ports), service.headless)

    async def _write(self, kind: Kind[Object], item: Object, parents: list[Object]) -> bool:
        """The list belongs to several controllers, so it is written only over the one that was read."""
        namespace, name = key_of(item)
        change = {"metadata": {"resourceVersion": resource_version_of(item)}, "status": {"parents": parents}}
        try:
            await self._local.client.patch(kind, name, change, namespace, subresource="status")
        except (errors.NotFound, errors.Conflict):
            return True  # it has changed, and we shall hear how
        except errors.KubeError as error:
            log.warning("the status of %s could not be written: %s", kind.describe(namespace, name), error)
            return False
        return True


def told(item: Object, find: Find, *, now: str) -> list[Object] | None:
    """The whole `status.parents` of a route, those of other controllers as they are; None if it says so already."""
    try:
        route = msgspec.convert(item, HTTPRoute)
    except msgspec.ValidationError as error:
        log.warning("HTTPRoute %s/%s cannot be read: %s", *key_of(item), error)
        return None
    current = list((item.get("status") or {}).get("parents") or ())
    before = {_reference(each.get("parentRef") or {}): each for each in current if _is_ours(each)}
    refs = [
        ref for ref in (item.get("spec") or {}).get("parentRefs") or () if msgspec.convert(ref, ParentRef).is_service
    ]
    ours = [_parent(route, ref, before.get(_reference(ref), {}), find, now=now) for ref in refs]
    parents = [each for each in current if not _is_ours(each)] + ours
    return None if parents == current else parents


def _parent(route: HTTPRoute, ref: Object, before: Mapping[str, Any], find: Find, *, now: str) -> Object:
    parent = msgspec.convert(ref, ParentRef)
    own = routes.parent_problem(route, parent, find((route.metadata.namespace, parent.name)))
    wrong = ([own] if own else []) + routes.problems(route)
    conditions = [
        _condition(ACCEPTED, wrong, "This route is used."),
        _condition(RESOLVED, [*wrong, *_missing(route, find)], "All backends are there."),
    ]
    was = {each.get("type"): each for each in before.get("conditions") or ()}
    return {
        "parentRef": ref,
        "controllerName": CONTROLLER,
        "conditions": [
            each
            | {
                "observedGeneration": route.metadata.generation,
                "lastTransitionTime": _since(each, was.get(each["type"]), now),
            }
            for each in conditions
        ],
    }


def _condition(about: str, wrong: Iterable[Problem], otherwise: str) -> Object:
    """A route that is not used is not accepted, whatever the reason; the others say more of what they are about."""
    found = [each for each in wrong if each.about == about or (about == ACCEPTED and each.about == RESOLVED)]
    if not found:
        return {"type": about, "status": "True", "reason": about, "message": otherwise}
    reason = found[0].reason if found[0].about == about else "UnsupportedValue"
    message = "; ".join(dict.fromkeys(each.message for each in found))
    return {"type": about, "status": "False", "reason": reason, "message": f"{message[:1].upper()}{message[1:]}."}


def _missing(route: HTTPRoute, find: Find) -> list[Problem]:
    """Backends that are not there: the others have their share meanwhile."""
    refs = [ref for rule in route.spec.rules or () for ref in rule.backend_refs or () if ref.is_service]
    found = {ref.name: find((route.metadata.namespace, ref.name)) for ref in refs}
    return [
        Problem(RESOLVED, "BackendNotFound", words)
        for ref in refs
        if ref.namespace in (None, "", route.metadata.namespace)
        and (words := _absent(ref.name, ref.port, found[ref.name]))
    ]


def _absent(name: str, port: int | None, known: Known | None) -> str:
    if known is None:
        return f"there is no Service {name}; its share goes to the other backends"
    if port is not None and port not in known.ports:
        return f"Service {name} has no port {port}; its share goes to the other backends"
    return ""


def _is_ours(parent: Mapping[str, Any]) -> bool:
    return parent.get("controllerName") == CONTROLLER


def _reference(ref: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(ref.get(field) for field in ("group", "kind", "namespace", "name", "sectionName", "port"))


def _since(condition: Mapping[str, Any], before: Mapping[str, Any] | None, now: str) -> str:
    same = before and before.get("status") == condition["status"] and before.get("lastTransitionTime")
    return str(same or now)
