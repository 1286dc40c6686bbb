"""Refusals of what the authorizer does not allow, in a real server's words."""

from isthmus.lab.api.contracts import ApiError, Asked, Authorizer, ResourceInfo, User
from isthmus.lab.api.requests import Address
from isthmus.lab.api.status import forbidden


def authorize(authorizer: Authorizer, *, user: User, verb: str, where: Address | None, path: str) -> None:
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
    raise forbidden(about, where.name, message + (f": {why}" if why else ""))
