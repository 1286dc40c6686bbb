"""What happens to an object between request and store: completion, admission, checks, ownership, generations.

One pipeline for every kind. Reading and storing are synchronous; only admission waits, so after it the object is
compared with what was read before and the write is tried again, or refused, if somebody else was faster.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from isthmus.lab import stamps
from isthmus.lab.api import apply, crd, deletion, draining, newborn, rules, updates
from isthmus.lab.api.bodies import Options, Target, accept, served, with_metadata
from isthmus.lab.api.completion import completed
from isthmus.lab.api.contracts import Admission, Object, Operation, ResourceInfo, Write
from isthmus.lab.api.listtypes import BuiltInShapes, SchemaShapes, Shapes
from isthmus.lab.api.registry import Registry
from isthmus.lab.api.services import Allocator
from isthmus.lab.api.status import already_exists, bad_request, conflict, forbidden, invalid, not_found
from isthmus.lab.api.store import Missing, Store

_ATTEMPTS: Final = 10
_IMMORTAL: Final = ("default", "kube-system", "kube-public")
_KEEPS_STATUS_ON_CREATE: Final = frozenset({("", "Node"), ("", "Namespace")})

Change = Callable[[Object], Object]


class Objects:
    """Create, update, patch and delete for every kind."""

    def __init__(
        self, store: Store, registry: Registry, definitions: crd.Definitions, allocator: Allocator, admission: Admission
    ) -> None:
        self._store = store
        self._registry = registry
        self._definitions = definitions
        self._allocator = allocator
        self._admission = admission

    def shapes(self, info: ResourceInfo) -> Shapes:
        return SchemaShapes(self._definitions.schema(info) or {}) if info.custom else BuiltInShapes(info.kind)

    def read(self, target: Target) -> Object:
        """The stored object; raises `ApiError` 404."""
        found = self._stored(target)
        if found is None:
            raise not_found(target.info, target.name)
        return found

    def _stored(self, target: Target) -> Object | None:
        return self._store.get(*target.kind, target.namespace, target.name)

    # --- create ---------------------------------------------------------------------------------------------------
    async def create(self, target: Target, body: Object, options: Options) -> Object:
        """Store a new object and return it."""
        obj = newborn.named(target, accept(target, body))
        target = Target(target.info, target.namespace, obj["metadata"]["name"])
        return await self._create(target, obj, options, None)

    async def _create(self, target: Target, obj: Object, options: Options, managers: apply.Managers | None) -> Object:
        info = target.info
        newborn.check_namespace(self._store, target)
        if "status" in info.subresources and (info.group, info.kind) not in _KEEPS_STATUS_ON_CREATE:
            obj = {key: value for key, value in obj.items() if key != "status"}
        obj = newborn.born(obj)
        obj = completed(self._definitions, target, obj, None, options)
        obj = await self._admit("CREATE", target, obj, None, options)
        obj = completed(self._definitions, target, obj, None, options)
        newborn.check_namespace(self._store, target)
        if self._stored(target) is not None:
            raise already_exists(info, target.name)
        if managers is None:
            owner = apply.Owner(options.manager, "Update")
            managers = apply.updated(
                {}, None, updates.ownable(target, obj), owner, api_version=info.api_version, shapes=self.shapes(info)
            )
        obj = self._storable(target, with_metadata(obj, managedFields=apply.write(managers)))
        obj = self._allocate(target, obj, None)
        if options.dry_run:
            return obj
        stored = self._store.create(*target.kind, obj)
        self._written(target, stored)
        return stored

    # --- update ---------------------------------------------------------------------------------------------------
    async def update(self, target: Target, change: Change, options: Options) -> Object:
        """Store what `change` makes of the current object. `change` may run several times; it must be pure."""
        return await self._update(target, lambda current: (change(current), None), options)

    async def _update(
        self, target: Target, change: Callable[[Object], tuple[Object, apply.Managers | None]], options: Options
    ) -> Object:
        for _ in range(_ATTEMPTS):
            old = self.read(target)
            wanted, managers = change(served(target.info, old))
            new = accept(target, wanted)
            updates.check_preconditions(target, old, new)
            new = updates.restricted(target, old, new)
            new = completed(self._definitions, target, new, old, options)
            if not target.subresource and not updates.same(old, new):
                new = await self._admit("UPDATE", target, new, old, options)
                new = completed(self._definitions, target, new, old, options)
            if problems := rules.change_problems(target.info, old, new):
                raise invalid(target.info, target.name, problems)
            if self._stored(target) is not old:
                await asyncio.sleep(0)
                continue
            return self._commit(target, old, new, managers, options)
        raise conflict(target.info, target.name)

    def _commit(
        self, target: Target, old: Object, new: Object, managers: apply.Managers | None, options: Options
    ) -> Object:
        info = target.info
        new = self._allocate(target, new, old)
        if managers is None:
            given, had = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
            owner = apply.Owner(options.manager, "Update", target.subresource)
            managers = apply.updated(
                apply.read(had if given is None else given),
                updates.ownable(target, old),
                updates.ownable(target, new),
                owner,
                api_version=info.api_version,
                shapes=self.shapes(info),
            )
        new = self._storable(target, with_metadata(new, managedFields=apply.write(managers)))
        if updates.content(old) != updates.content(new):
            new = with_metadata(new, generation=int(old["metadata"].get("generation") or 0) + 1)
        if new == old or options.dry_run:
            return new
        try:
            stored = self._store.update(*target.kind, new)
        except Missing:
            raise not_found(info, target.name) from None
        self._written(target, stored)
        if deletion.is_over(info, stored):
            return self._remove(target)
        return stored

    # --- server-side apply ----------------------------------------------------------------------------------------
    async def apply(self, target: Target, config: Object, options: Options) -> tuple[Object, bool]:
        """Apply a configuration; the object, and whether it is new."""
        info, shapes = target.info, self.shapes(target.info)
        config = updates.ownable(target, accept(target, config))
        if config["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        given_version = config["metadata"].get("resourceVersion")
        owner = apply.Owner(options.manager, "Apply", target.subresource)
        if self._stored(target) is None:
            if target.subresource:
                raise not_found(info, target.name)
            managers = {owner: apply.Entry(info.api_version, stamps.now(), apply.fields_of(config, shapes))}
            obj = newborn.named(target, with_metadata(config, name=target.name))
            return await self._create(target, obj, options, managers), True

        def change(live: Object) -> tuple[Object, apply.Managers]:
            merged, managers = apply.applied(
                live,
                config,
                apply.read(live["metadata"].get("managedFields")),
                owner,
                force=options.force,
                api_version=info.api_version,
                shapes=shapes,
            )
            return (with_metadata(merged, resourceVersion=given_version) if given_version else merged), managers

        return await self._update(target, change, options), False

    # --- delete ---------------------------------------------------------------------------------------------------
    async def delete(self, target: Target, request: deletion.Request, options: Options) -> tuple[Object, bool]:
        """Delete, or begin to; the last known object, and whether it is gone."""
        for _ in range(_ATTEMPTS):
            old = self.read(target)
            if target.kind == ("", "namespaces") and target.name in _IMMORTAL:
                raise forbidden(target.info, target.name, "this namespace may not be deleted")
            deletion.check_preconditions(target.info, old, request)
            await self._admit("DELETE", target, None, old, options)
            if self._stored(target) is not old:
                await asyncio.sleep(0)
                continue
            marked = deletion.mark(target.info, old, request)
            if options.dry_run:
                return marked, deletion.is_over(target.info, marked)
            if target.kind == crd.CRD:
                defined = self._registry.any_version(old["spec"]["group"], old["spec"]["names"]["plural"])
                marked = draining.drain(self._store, defined, marked)
            if deletion.is_over(target.info, marked):
                return self._remove(target), True
            if marked == old:
                return old, False
            return self._store.update(*target.kind, marked), False
        raise conflict(target.info, target.name)

    def _remove(self, target: Target) -> Object:
        last = self._store.remove(*target.kind, target.namespace, target.name)
        if target.kind == crd.CRD:
            self._definitions.end(last)
        elif target.info.custom:
            draining.end_if_drained(self._store, self._definitions, target.info)
        return last

    # --- shared steps ---------------------------------------------------------------------------------------------
    def _allocate(self, target: Target, obj: Object, old: Object | None) -> Object:
        if target.kind != ("", "services"):
            return obj
        obj, problems = self._allocator.allocate(obj, old)
        if problems:
            raise invalid(target.info, target.name, problems)
        return obj

    async def _admit(
        self, operation: Operation, target: Target, obj: Object | None, old: Object | None, options: Options
    ) -> Object:
        admitted = await self._admission.admit(
            Write(
                operation=operation,
                user=options.user,
                resource=target.info,
                namespace=target.namespace,
                name=target.name,
                obj=obj,
                old=old,
                dry_run=options.dry_run,
            )
        )
        return accept(target, admitted) if obj is not None else admitted

    def _storable(self, target: Target, obj: Object) -> Object:
        """The object in the version that is stored; conversion changes nothing but the version's name."""
        storage = self._registry.any_version(*target.kind)
        return obj if storage is None else served(storage, obj)

    def _written(self, target: Target, stored: Object) -> None:
        if target.kind == crd.CRD:
            self._definitions.serve(stored)
