"""Which admission webhooks a request concerns, what they are told and what their answers mean. Pure functions."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from isthmus.lab.api.contracts import ApiError, Object, Write
from isthmus.lab.api.patch import json_patch
from isthmus.lab.api.reviews import user_info
from isthmus.lab.labels import selects

GROUP: Final = "admissionregistration.k8s.io"
_OPTIONS: Final = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_DRY_RUN_SAFE: Final = ("None", "NoneOnDryRun")


class WebhookError(Exception):
    """A webhook could not be asked, or gave no sensible answer. Its failure policy decides what that means."""


@dataclass(frozen=True)
class Answer:
    """What a webhook said: the object as it wants it, and what the user should read."""

    obj: Object | None
    warnings: tuple[str, ...]


def review(write: Write, uid: str) -> Object:
    """The AdmissionReview a webhook is sent."""
    info = write.resource
    resource, _, subresource = info.resource.partition("/")
    kind = {"group": info.group, "version": info.version, "kind": info.kind}
    plural = {"group": info.group, "version": info.version, "resource": resource}
    request = {
        "uid": uid,
        "kind": kind,
        "resource": plural,
        "requestKind": kind,
        "requestResource": plural,
        "name": write.name,
        "operation": write.operation,
        "userInfo": user_info(write.user),
        "object": write.obj,
        "oldObject": write.old,
        "dryRun": write.dry_run,
        "options": {"kind": _OPTIONS[write.operation], "apiVersion": "meta.k8s.io/v1"},
    }
    if subresource:
        request |= {"subResource": subresource, "requestSubResource": subresource}
    if write.namespace:
        request["namespace"] = write.namespace
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def concerns(webhook: Object, write: Write, namespace_labels: Mapping[str, str] | None) -> bool:
    """Whether a webhook wants to be asked. `namespace_labels` is None for objects outside namespaces."""
    if not any(_rule_matches(rule, write) for rule in webhook.get("rules") or ()):
        return False
    if namespace_labels is not None and not selects(webhook.get("namespaceSelector"), namespace_labels):
        return False
    selector = webhook.get("objectSelector")
    return not selector or any(selects(selector, _labels(obj)) for obj in (write.obj, write.old) if obj is not None)


def check_supported(webhook: Object, write: Write) -> None:
    """Refuse what cannot be done rightly: a dry run with side effects, conditions in a language not spoken here."""
    if write.dry_run and webhook.get("sideEffects") not in _DRY_RUN_SAFE:
        raise ApiError(400, "BadRequest", f'admission webhook "{webhook["name"]}" does not support dry run')
    if webhook.get("matchConditions"):
        raise WebhookError("this API server does not evaluate matchConditions; remove them from the webhook")


def answered(webhook: Object, write: Write, uid: str, body: bytes) -> Answer:
    """The meaning of an answer. Raises ApiError for a denial, WebhookError for nonsense."""
    try:
        review = msgspec.json.decode(body)
        response: Object = review["response"]
        found = response["uid"]
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise WebhookError(f"received invalid webhook response: no response in it: {error}") from error
    if found != uid:
        raise WebhookError(f'received invalid webhook response: expected response.uid="{uid}", got "{found}"')
    if not response.get("allowed"):
        raise denial(webhook["name"], response.get("status") or {})
    obj = write.obj
    if obj is not None and response.get("patch"):
        obj = _patched(obj, response)
    return Answer(obj, tuple(response.get("warnings") or ()))


def denial(name: str, status: Object) -> ApiError:
    """A webhook's refusal, in the words of the real server."""
    denied = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason")
    code = max(int(status.get("code") or 0), 400)
    details = status.get("details") or None
    message = f"{denied}: {why}" if why else f"{denied} without explanation"
    return ApiError(code, status.get("reason") or "", message, details=details)


def _patched(obj: Object, response: Object) -> Object:
    if response.get("patchType", "JSONPatch") != "JSONPatch":
        raise WebhookError(f'received invalid webhook response: unsupported patch type "{response["patchType"]}"')
    try:
        operations = msgspec.json.decode(base64.b64decode(response["patch"], validate=True))
        patched: Object = json_patch(obj, operations)
    except (binascii.Error, msgspec.MsgspecError) as error:
        raise WebhookError(f"received invalid webhook response: the patch cannot be read: {error}") from error
    except ApiError as error:
        raise WebhookError(f"the patch does not apply: {error.message}") from error
    return patched


def _rule_matches(rule: Object, write: Write) -> bool:
    info = write.resource
    scope = rule.get("scope") or "*"
    return (
        _one_of(rule.get("operations"), write.operation)
        and _one_of(rule.get("apiGroups"), info.group)
        and _one_of(rule.get("apiVersions"), info.version)
        and scope in ("*", "Namespaced" if info.namespaced else "Cluster")
        and any(_resource_matches(pattern, info.resource) for pattern in rule.get("resources") or ())
    )


def _resource_matches(pattern: str, resource: str) -> bool:
    """`pods` is pods alone, `pods/*` pods and their subresources, `*` all resources without those, `*/*` with."""
    wanted, _, wanted_sub = pattern.partition("/")
    name, _, sub = resource.partition("/")
    return wanted in ("*", name) and (wanted_sub == sub or wanted_sub == "*")


def _one_of(values: Any, wanted: str) -> bool:
    return any(value in ("*", wanted) for value in values or ())


def _labels(obj: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = obj.get("metadata", {}).get("labels") or {}
    return labels
