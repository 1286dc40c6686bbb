"""What a new object gets before anything else: a name, a namespace that takes it, an identity."""

import re
import secrets
import uuid
from typing import Final

from isthmus.lab import stamps
from isthmus.lab.api.bodies import Target, with_metadata
from isthmus.lab.api.contracts import ApiError, Object
from isthmus.lab.api.status import forbidden, invalid
from isthmus.lab.api.store import Store
from isthmus.lab.api.updates import SERVER_METADATA

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_RBAC_NAME: Final = re.compile(r"[^/%]+")
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


def named(target: Target, obj: Object) -> Object:
    """The object with its name, which is made up where `generateName` asks for it; raises `ApiError` 422."""
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
    return with_metadata(obj, name=name)


def check_namespace(store: Store, target: Target) -> None:
    """Raise `ApiError` unless the object may be made in its namespace."""
    if not target.info.namespaced:
        return
    namespace = store.get("", "namespaces", None, target.namespace)
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


def born(obj: Object) -> Object:
    """The object with an identity of its own, whatever it said of itself."""
    metadata = {
        k: v for k, v in obj["metadata"].items() if k not in (*SERVER_METADATA, "resourceVersion", "managedFields")
    }
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamps.now(), "generation": 1}
    return obj | {"metadata": metadata}
