"""The questions one may ask the API server about identities and permissions, and its answers."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from isthmus.lab import stamps
from isthmus.lab.api.contracts import ApiError, Asked, Authorizer, Object, Reader, ResourceInfo, User
from isthmus.lab.api.rbac import Rbac
from isthmus.lab.api.status import invalid
from isthmus.lab.api.tokens import Account, InvalidTokenError, Tokens

DEFAULT_SECONDS: Final = 3600
SHORTEST_SECONDS: Final = 600
LONGEST_SECONDS: Final = 1 << 32
_TOKEN_REQUEST: Final = ResourceInfo("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest", namespaced=True)
_BINDABLE: Final = {"Pod": "pods", "Secret": "secrets"}


@dataclass(frozen=True)
class ClusterReviews:
    """Answers reviews from one cluster's tokens, roles and service accounts."""

    tokens: Tokens
    authorizer: Rbac
    store: Reader

    async def handle(self, kind: str, user: User, obj: Object, namespace: str, name: str) -> Object:
        spec = obj.get("spec") or {}
        match kind:
            case "TokenRequest":
                return self._token_request(obj, namespace=namespace, name=name)
            case "TokenReview":
                return obj | {"status": self._token_review(spec)}
            case "SelfSubjectReview":
                return obj | {"status": {"userInfo": user_info(user)}}
            case "SelfSubjectAccessReview":
                return obj | {"status": access(self.authorizer, user, spec)}
            case "SubjectAccessReview" | "LocalSubjectAccessReview":
                return obj | {"status": access(self.authorizer, _subject(spec), spec)}
            case "SelfSubjectRulesReview":
                return obj | {"status": self._rules(user, spec.get("namespace", ""))}
        raise ApiError(404, "NotFound", f"the server could not find the requested resource: no review is called {kind}")

    def _token_review(self, spec: Object) -> Object:
        token = spec.get("token", "")
        if not token:
            raise ApiError(422, "Invalid", "TokenReview is invalid: spec.token: Required value: token is required")
        try:
            verified = self.tokens.verify(token, store=self.store, audiences=spec.get("audiences") or ())
        except InvalidTokenError as error:
            return {"authenticated": False, "user": {}, "error": str(error)}
        return {"authenticated": True, "user": user_info(verified.user), "audiences": list(verified.audiences)}

    def _token_request(self, obj: Object, *, namespace: str, name: str) -> Object:
        spec = obj.get("spec") or {}
        account = self._existing("serviceaccounts", namespace, name)
        seconds = int(spec.get("expirationSeconds") or DEFAULT_SECONDS)
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            limit = "less than 10 minutes" if seconds < SHORTEST_SECONDS else "larger than 2^32 seconds"
            problem = f"Invalid value: {seconds}: may not specify a duration {limit}"
            raise invalid(_TOKEN_REQUEST, name, [("spec.expirationSeconds", problem)])
        audiences = list(spec.get("audiences") or [self.tokens.issuer])
        reference = spec.get("boundObjectRef")
        token, expiry = self.tokens.mint(
            Account(namespace, name, account["metadata"].get("uid", "")),
            audiences=audiences,
            seconds=seconds,
            bound=self._bound(reference, namespace) if reference else None,
        )
        filled = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": (obj.get("metadata") or {})
            | {"name": name, "namespace": namespace, "creationTimestamp": _stamp(self.tokens.clock())},
            "spec": filled,
            "status": {"token": token, "expirationTimestamp": _stamp(expiry)},
        }

    def _bound(self, reference: Mapping[str, Any], namespace: str) -> Object:
        kind = str(reference.get("kind", ""))
        if kind not in _BINDABLE:
            raise ApiError(400, "BadRequest", f"cannot bind token to {kind or 'an object without a kind'}")
        found = self._existing(_BINDABLE[kind], namespace, str(reference.get("name", "")))
        uid = found["metadata"].get("uid")
        if reference.get("uid") and reference["uid"] != uid:
            message = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})"
            )
            raise ApiError(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {_BINDABLE[kind]} "{found["metadata"]["name"]}": {message}',
            )
        return found | {"kind": kind}

    def _existing(self, resource: str, namespace: str, name: str) -> Object:
        found = self.store.get("", resource, namespace, name)
        if found is None:
            raise ApiError(404, "NotFound", f'{resource} "{name}" not found', details={"name": name, "kind": resource})
        return found

    def _rules(self, user: User, namespace: str) -> Object:
        resource_rules: list[Object] = []
        path_rules: list[Object] = []
        for rule in self.authorizer.rules(user, namespace):
            if rule.get("nonResourceURLs"):
                path_rules.append({"verbs": rule.get("verbs", []), "nonResourceURLs": rule["nonResourceURLs"]})
            else:
                keys = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({key: rule[key] for key in keys if key in rule})
        return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def access(authorizer: Authorizer, user: User, spec: Object) -> Object:
    """The status of an access review for this user."""
    resource: Object = spec.get("resourceAttributes") or {}
    path: Object = spec.get("nonResourceAttributes") or {}
    if bool(resource) == bool(path):
        problem = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise ApiError(
            422, "Invalid", f'access review is invalid: spec.resourceAttributes: Invalid value: "": {problem}'
        )
    asked = Asked(
        verb=resource.get("verb") or path.get("verb", ""),
        group=resource.get("group", ""),
        resource=resource.get("resource", ""),
        subresource=resource.get("subresource", ""),
        namespace=resource.get("namespace", ""),
        name=resource.get("name", ""),
        path=path.get("path", ""),
    )
    allowed, reason = authorizer.allowed(user, asked)
    return {"allowed": allowed} | ({"reason": reason} if reason else {})


def user_info(user: User) -> Object:
    """A user as reviews and webhooks are told of it."""
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _stamp(moment: float) -> str:
    return stamps.written(datetime.datetime.fromtimestamp(moment, datetime.UTC))


def _subject(spec: Object) -> User:
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(name=spec.get("user", ""), uid=spec.get("uid", ""), groups=tuple(spec.get("groups") or ()), extra=extra)
