"""Nobody grants what they do not have: roles and bindings are refused that would give more than their writer has."""

import itertools
from collections.abc import Iterator
from typing import Final

from isthmus.lab.api.contracts import ApiError, Asked, Object, ResourceInfo, User
from isthmus.lab.api.rbac import GROUP, SUPERUSERS, Rbac, Rule, grants
from isthmus.lab.api.status import forbidden

_ROLES: Final = ("roles", "clusterroles")
_BINDINGS: Final = ("rolebindings", "clusterrolebindings")


def check(rbac: Rbac, user: User, info: ResourceInfo, namespace: str, obj: Object) -> None:
    """Raise `ApiError` 403 for a role or binding that gives its writer, or anyone, more than the writer has.

    Whoever may `escalate` a role or `bind` one is trusted to know what they do.
    """
    if info.group != GROUP or SUPERUSERS in user.groups:
        return
    if info.resource in _ROLES:
        wanted, verb, about = list(obj.get("rules") or ()), "escalate", (info.resource, obj["metadata"].get("name", ""))
    elif info.resource in _BINDINGS:
        reference = obj["roleRef"]
        about = (f"{reference['kind'].lower()}s", reference["name"])
        wanted, verb = rbac.role_rules(reference, namespace or None) or [], "bind"
        if not wanted and not _trusted(rbac, user, verb, about, namespace):
            raise _refusal(info, user, obj, f"the {reference['kind']} {reference['name']} is not there")
    else:
        return
    if _trusted(rbac, user, verb, about, namespace):
        return
    own = rbac.rules(user, namespace)
    missing = [
        request for rule in wanted for request in _requests(rule) if not any(grants(has, request) for has in own)
    ]
    if missing:
        first = missing[0]
        raise _refusal(info, user, obj, f"{first.verb} {first.path or first.resource}, among {len(missing)}")


def _trusted(rbac: Rbac, user: User, verb: str, about: tuple[str, str], namespace: str) -> bool:
    resource, name = about
    return rbac.allowed(user, Asked(verb, GROUP, resource, namespace=namespace, name=name))[0]


def _requests(rule: Rule) -> Iterator[Asked]:
    """Everything that a rule allows, one by one; a `*` is asked for as such, and given only by another."""
    verbs = rule.get("verbs") or ()
    for verb, path in itertools.product(verbs, rule.get("nonResourceURLs") or ()):
        yield Asked(verb=verb, path=path)
    names = rule.get("resourceNames") or ("",)
    for verb, group, full, name in itertools.product(
        verbs, rule.get("apiGroups") or (), rule.get("resources") or (), names
    ):
        resource, _, subresource = full.partition("/")
        yield Asked(verb=verb, group=group, resource=resource, subresource=subresource, name=name)


def _refusal(info: ResourceInfo, user: User, obj: Object, what: str) -> ApiError:
    why = f'user "{user.name}" is attempting to grant RBAC permissions not currently held: {what}'
    return forbidden(info, obj["metadata"].get("name", ""), why)
