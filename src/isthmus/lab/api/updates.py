"""What an update may change, and whether it changes anything."""

from typing import Final

from isthmus.lab.api.bodies import Target
from isthmus.lab.api.contracts import Object
from isthmus.lab.api.status import conflict, invalid

_ENVELOPE: Final = ("apiVersion", "kind", "metadata")
SERVER_METADATA: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def check_preconditions(target: Target, old: Object, new: Object) -> None:
    """Raise `ApiError` when the writer has another object, or another version of it, in mind."""
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


def restricted(target: Target, old: Object, new: Object) -> Object:
    """The new object with everything put back that this (sub)resource may not change."""
    metadata = {k: v for k, v in new["metadata"].items() if k not in SERVER_METADATA}
    metadata |= {k: old["metadata"][k] for k in (*SERVER_METADATA, "resourceVersion") if k in old["metadata"]}
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


def ownable(target: Target, obj: Object) -> Object:
    """What of an object a writer of this (sub)resource can own, or be in conflict about."""
    if "status" not in target.info.subresources or target.subresource not in ("", "status"):
        return obj
    status = target.subresource == "status"
    return {key: value for key, value in obj.items() if key in _ENVELOPE or (key == "status") is status}


def content(obj: Object) -> Object:
    """What a generation counts the changes of."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion")}


def same(old: Object, new: Object) -> bool:
    """Whether a write would change nothing, so that webhooks need not be asked."""
    ours, theirs = old["metadata"] | {"managedFields": None}, new["metadata"] | {"managedFields": None}
    return ours == theirs and old | {"metadata": None} == new | {"metadata": None}
