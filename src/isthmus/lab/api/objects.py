"""What happens to an object between request and store: completion, admission, checks, ownership, generations.

One pipeline for every kind. Reading and storing are synchronous; only admission waits, so after it the object is
compared with what was read before and the write is tried again, or refused, if somebody else was faster.
"""

import asyncio
import re
import secrets
import uuid
from collections.abc import Callable
from typing import Any, Final

from isthmus.lab.api import apply, crd, defaults, deletion, models, rules, schema
from isthmus.lab.api.bodies import Options, Target, accept, served, without_nulls
from isthmus.lab.api.contracts import WARNINGS, Admission, ApiError, Object, Operation, ResourceInfo, Write
from isthmus.lab.api.listtypes import BuiltInShapes, SchemaShapes, Shapes
from isthmus.lab.api.registry import Registry
from isthmus.lab.api.services import Allocator
from isthmus.lab.api.status import already_exists, bad_request, conflict, forbidden, invalid, not_found
from isthmus.lab.api.store import Exists, Missing, Store

_ATTEMPTS: Final = 10
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_RBAC_NAME: Final = re.compile(r"[^/%]+")
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_IMMORTAL: Final = ("default", "kube-system", "kube-public")
_KEEPS_STATUS_ON_CREATE: Final = frozenset({("", "Node"), ("", "Namespace")})
_SERVER_METADATA: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")

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
        found = self._store.get(*target.kind, target.namespace, target.name)
        if found is None:
            raise not_found(target.info, target.name)
        return found

    # --- create ---------------------------------------------------------------------------------------------------
    async def create(self, target: Target, body: Object, options: Options) -> Object:
        """Store a new object and return it."""
        obj = self._named(target, accept(target, body))
        target = Target(target.info, target.namespace, obj["metadata"]["name"])
        return await self._create(target, obj, options, None)

    async def _create(self, target: Target, obj: Object, options: Options, managers: apply.Managers | None) -> Object:
        info = target.info
        if self._store.get(*target.kind, target.namespace, target.name) is not None:
            raise already_exists(info, target.name)
        self._check_namespace(target)
        if "status" in info.subresources and (info.group, info.kind) not in _KEEPS_STATUS_ON_CREATE:
            obj = {key: value for key, value in obj.items() if key != "status"}
        obj = self._born(obj)
        obj = self._complete(target, obj, None, options)
        obj = await self._admit("CREATE", target, obj, None, options)
        obj = self._complete(target, obj, None, options)
        self._check_namespace(target)
        if managers is None:
            owner = apply.Owner(options.manager, "Update")
            managers = apply.updated({}, None, obj, owner, api_version=info.api_version, shapes=self.shapes(info))
        obj = self._storable(target, _with_metadata(obj, managedFields=apply.write(managers)))
        obj = self._allocate(target, obj, None)
        if options.dry_run:
            return obj
        try:
            stored = self._store.create(*target.kind, obj)
        except Exists:
            raise already_exists(info, target.name) from None
        self._written(target, stored)
        return self._store.get(*target.kind, target.namespace, target.name) or stored

    def _named(self, target: Target, obj: Object) -> Object:
        metadata = obj["metadata"]
        name = metadata.get("name")
        if not name and metadata.get("generateName"):
            prefix = str(metadata["generateName"])[:58]
            name = prefix + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
        if not name:
            raise invalid(target.info, "", [("metadata.name", "Required value: name or generateName is required")])
        pattern = _RBAC_NAME if target.info.group == "rbac.authorization.k8s.io" else _NAME
        if not isinstance(name, str) or len(name) > 253 or not pattern.fullmatch(name):
            why = (
                f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
                "characters, '-' or '.', and must start and end with an alphanumeric character"
            )
            raise invalid(target.info, str(name), [("metadata.name", why)])
        return _with_metadata(obj, name=name)

    def _check_namespace(self, target: Target) -> None:
        if not target.info.namespaced:
            return
        namespace = self._store.get("", "namespaces", None, target.namespace)
        if namespace is None:
            raise ApiError(
                404,
                "NotFound",
                f'namespaces "{target.namespace}" not found',
                details={"name": target.namespace, "kind": "namespaces"},
            )
        if namespace["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
            refusal = forbidden(target.info, target.name, why)
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {target.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            refusal.details = refusal.details | {"causes": [cause]}
            raise refusal

    @staticmethod
    def _born(obj: Object) -> Object:
        metadata = {
            k: v for k, v in obj["metadata"].items() if k not in (*_SERVER_METADATA, "resourceVersion", "managedFields")
        }
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": apply.now(), "generation": 1}
        return obj | {"metadata": metadata}

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
            self._check_preconditions(target, old, new)
            new = self._restricted(target, old, new)
            new = self._complete(target, new, old, options)
            if not target.subresource and not _same(old, new):
                new = await self._admit("UPDATE", target, new, old, options)
                new = self._complete(target, new, old, options)
            if problems := rules.change_problems(target.info, old, new):
                raise invalid(target.info, target.name, problems)
            if self._store.get(*target.kind, target.namespace, target.name) is not old:
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
                old,
                new,
                owner,
                api_version=info.api_version,
                shapes=self.shapes(info),
            )
        new = self._storable(target, _with_metadata(new, managedFields=apply.write(managers)))
        if _content(old) != _content(new):
            new = _with_metadata(new, generation=int(old["metadata"].get("generation") or 0) + 1)
        if new == old or options.dry_run:
            return new
        try:
            stored = self._store.update(*target.kind, new)
        except Missing:
            raise not_found(info, target.name) from None
        self._written(target, stored)
        if deletion.is_over(info, stored):
            return self._remove(target)
        return self._store.get(*target.kind, target.namespace, target.name) or stored

    def _check_preconditions(self, target: Target, old: Object, new: Object) -> None:
        given, have = new["metadata"], old["metadata"]
        uid = given.get("uid")
        if uid and uid != have["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {have['uid']}"
            raise conflict(target.info, target.name, why)
        version = given.get("resourceVersion")
        if not version and target.info.custom:
            why = "Invalid value: 0: must be specified for an update"
            raise invalid(target.info, target.name, [("metadata.resourceVersion", why)])
        if version and version != have["resourceVersion"]:
            raise conflict(target.info, target.name)

    def _restricted(self, target: Target, old: Object, new: Object) -> Object:
        """The new object with everything put back that this (sub)resource may not change."""
        metadata = {k: v for k, v in new["metadata"].items() if k not in _SERVER_METADATA}
        metadata |= {k: old["metadata"][k] for k in (*_SERVER_METADATA, "resourceVersion") if k in old["metadata"]}
        metadata.setdefault("managedFields", old["metadata"].get("managedFields") or [])
        if target.subresource == "status":
            kept = old["metadata"] | {"managedFields": metadata["managedFields"]}
            return {k: v for k, v in old.items() if k != "status"} | {
                "metadata": kept,
                **({"status": new["status"]} if "status" in new else {}),
            }
        if target.subresource == "finalize":
            spec = (old.get("spec") or {}) | {"finalizers": (new.get("spec") or {}).get("finalizers") or []}
            return old | {"spec": spec}
        new = new | {"metadata": metadata}
        if "status" in target.info.subresources:
            new = {k: v for k, v in new.items() if k != "status"}
            if "status" in old:
                new["status"] = old["status"]
        return new

    # --- server-side apply ----------------------------------------------------------------------------------------
    async def apply(self, target: Target, config: Object, options: Options) -> tuple[Object, bool]:
        """Apply a configuration; the object, and whether it is new."""
        info, shapes = target.info, self.shapes(target.info)
        config = accept(target, config)
        if config["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        given_version = config["metadata"].get("resourceVersion")
        owner = apply.Owner(options.manager, "Apply", target.subresource)
        if self._store.get(*target.kind, target.namespace, target.name) is None:
            if target.subresource:
                raise not_found(info, target.name)
            managers = {owner: apply.Entry(info.api_version, apply.now(), apply.fields_of(config, shapes))}
            obj = self._named(target, _with_metadata(config, name=target.name))
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
            return (_with_metadata(merged, resourceVersion=given_version) if given_version else merged), managers

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
            if self._store.get(*target.kind, target.namespace, target.name) is not old:
                await asyncio.sleep(0)
                continue
            marked = deletion.mark(target.info, old, request)
            gone = deletion.is_over(target.info, marked)
            if options.dry_run:
                return marked, gone
            if target.kind == crd.CRD:
                marked, gone = self._drain(old, marked, options, gone=gone)
            if gone:
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
            self._end_definition_if_drained(target.info)
        return last

    # --- shared steps ---------------------------------------------------------------------------------------------
    def _complete(self, target: Target, obj: Object, old: Object | None, options: Options) -> Object:
        """Normalized, defaulted, checked."""
        info = target.info
        if info.custom:
            found = self._definitions.schema(info) or {}
            obj, pruned = schema.prepare(obj, found)
            _tell_unknown(pruned, options)
            models.check(info, target.name, obj)
            if problems := rules.metadata_problems(obj) + schema.problems(obj, found):
                raise invalid(info, target.name, problems)
            return obj
        obj = without_nulls(obj)
        models.check(info, target.name, obj)
        obj, unknown = models.known(info, obj)
        _tell_unknown(unknown, options)
        obj = defaults.fill(info, obj)  # without_nulls has copied it
        if (info.group, info.kind) == ("", "Namespace") and old is None:
            obj = obj | {"spec": {"finalizers": ["kubernetes"]} | (obj.get("spec") or {})}
        if target.kind == crd.CRD:
            obj = self._complete_definition(info, obj)
        if problems := rules.problems(info, obj):
            raise invalid(info, target.name, problems)
        return obj

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

    # --- definitions ----------------------------------------------------------------------------------------------
    def _complete_definition(self, info: ResourceInfo, obj: Object) -> Object:
        obj = crd.completed(obj)
        if problems := crd.problems(obj):
            raise invalid(info, obj["metadata"]["name"], problems)
        return crd.established(obj)

    def _written(self, target: Target, stored: Object) -> None:
        if target.kind == crd.CRD:
            self._definitions.serve(stored)

    def _drain(self, old: Object, marked: Object, options: Options, *, gone: bool) -> tuple[Object, bool]:
        """Delete the objects of a definition first; those with finalizers keep it alive until they are gone."""
        group, plural = old["spec"]["group"], old["spec"]["names"]["plural"]
        info = self._registry.any_version(group, plural)
        left = False
        for obj in self._store.list(group, plural):
            if info is None:
                continue
            ending = deletion.mark(info, obj, deletion.Request())
            if deletion.is_over(info, ending):
                self._store.remove(group, plural, obj["metadata"].get("namespace"), obj["metadata"]["name"])
            else:
                left = True
                if ending != obj:
                    self._store.update(group, plural, ending)
        if not left:
            return marked, gone
        finalizers = list(dict.fromkeys([*(marked["metadata"].get("finalizers") or []), deletion.CUSTOM_CLEANUP]))
        when = marked["metadata"].get("deletionTimestamp") or apply.now()
        return _with_metadata(marked, finalizers=finalizers, deletionTimestamp=when), False

    def _end_definition_if_drained(self, info: ResourceInfo) -> None:
        name = f"{info.resource}.{info.group}"
        definition = self._store.get(*crd.CRD, None, name)
        if definition is None or self._store.list(info.group, info.resource):
            return
        finalizers = definition["metadata"].get("finalizers") or []
        if deletion.CUSTOM_CLEANUP not in finalizers:
            return
        left = [finalizer for finalizer in finalizers if finalizer != deletion.CUSTOM_CLEANUP]
        if left:
            self._store.update(*crd.CRD, _with_metadata(definition, finalizers=left))
        else:
            self._definitions.end(self._store.remove(*crd.CRD, None, name))


def _tell_unknown(paths: list[str], options: Options) -> None:
    told = [f'unknown field "{path}"' for path in paths]
    if told and options.unknown == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(told)}")
    warnings = WARNINGS.get()
    if options.unknown == "Warn" and warnings is not None:
        warnings += [text for text in told if text not in warnings]


def _with_metadata(obj: Object, **fields: Any) -> Object:
    return obj | {"metadata": obj["metadata"] | fields}


def _content(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion")}


def _same(old: Object, new: Object) -> bool:
    """Whether a write would change nothing, so that webhooks need not be asked."""
    ours, theirs = old["metadata"] | {"managedFields": None}, new["metadata"] | {"managedFields": None}
    return ours == theirs and old | {"metadata": None} == new | {"metadata": None}
