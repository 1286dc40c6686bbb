"""Who may do what: Kubernetes role-based access control over the roles and bindings in the store."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from isthmus.lab.api.contracts import Asked, Object, Reader, User
from isthmus.lab.labels import selects

GROUP: Final = "rbac.authorization.k8s.io"
SUPERUSERS: Final = "system:masters"
Rule = Mapping[str, Any]

_HEALTH_PATHS: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY_PATHS: Final = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH_PATHS)
EVERYBODY: Final[tuple[tuple[str, Rule], ...]] = (
    ("system:authenticated", {"verbs": ["get"], "nonResourceURLs": list(_DISCOVERY_PATHS)}),
    (
        "system:authenticated",
        {
            "verbs": ["create"],
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        },
    ),
    (
        "system:authenticated",
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
    ),
    ("system:authenticated", {"verbs": ["get"], "nonResourceURLs": list(_HEALTH_PATHS)}),
    ("system:unauthenticated", {"verbs": ["get"], "nonResourceURLs": list(_HEALTH_PATHS)}),
)
"""What every cluster grants from the start: discovery, health, questions about oneself."""


@dataclass(frozen=True)
class Rbac:
    """Evaluates each request anew: a binding counts from the moment it is stored until the moment it is gone."""

    store: Reader

    def allowed(self, user: User, asked: Asked) -> tuple[bool, str]:
        """Whether some rule grants it, and which binding that rule came by."""
        if SUPERUSERS in user.groups:
            return True, ""
        missing: list[str] = []
        for reason, rule in self._grants(user, asked.namespace, missing):
            if grants(rule, asked):
                return True, f"RBAC: allowed{reason}"
        return False, "RBAC: " + ", ".join(dict.fromkeys(missing)) if missing else ""

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Everything the user may do in a namespace."""
        everything: list[Rule] = [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]
        own = [rule for _, rule in self._grants(user, namespace, [])]
        return everything + own if SUPERUSERS in user.groups else own

    def _grants(self, user: User, namespace: str, missing: list[str]) -> Iterator[tuple[str, Rule]]:
        """The rules that apply to a user, with where each comes from. Roles that do not exist go to `missing`."""
        for group, rule in EVERYBODY:
            if group in user.groups:
                yield "", rule
        yield from self._bound("clusterrolebindings", None, user, missing)
        if namespace:
            yield from self._bound("rolebindings", namespace, user, missing)

    def _bound(
        self, resource: str, namespace: str | None, user: User, missing: list[str]
    ) -> Iterator[tuple[str, Rule]]:
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        for binding in self.store.list(GROUP, resource, namespace):
            subject = next((s for s in binding.get("subjects") or () if names(s, user, namespace or "")), None)
            if subject is None:
                continue
            reference = binding["roleRef"]
            rules = self.role_rules(reference, namespace)
            if rules is None:
                missing.append(f'{reference["kind"].lower()}.{GROUP} "{reference["name"]}" not found')
                continue
            where = f"{binding['metadata']['name']}/{namespace}" if namespace else binding["metadata"]["name"]
            reason = f' by {kind} "{where}" of {reference["kind"]} "{reference["name"]}" to {_subject_words(subject)}'
            for rule in rules:
                yield reason, rule

    def role_rules(self, reference: Mapping[str, str], namespace: str | None) -> list[Rule] | None:
        """What a binding in this namespace (None: a ClusterRoleBinding) gives; None if its role is not there."""
        if reference["kind"] == "ClusterRole":
            role = self.store.get(GROUP, "clusterroles", None, reference["name"])
            return None if role is None else self._cluster_rules(role, frozenset())
        role = self.store.get(GROUP, "roles", namespace, reference["name"])
        return None if role is None else list(role.get("rules") or ())

    def _cluster_rules(self, role: Object, seen: frozenset[str]) -> list[Rule]:
        """A cluster role's own rules, or, for an aggregated one, those of all the roles that its selectors take."""
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
        name = role["metadata"]["name"]
        if not selectors:
            return list(role.get("rules") or ())
        return [
            rule
            for other in self.store.list(GROUP, "clusterroles")
            if other["metadata"]["name"] not in seen | {name}
            and any(selects(selector, other["metadata"].get("labels")) for selector in selectors)
            for rule in self._cluster_rules(other, seen | {name})
        ]


def grants(rule: Rule, request: Asked) -> bool:
    """Whether one rule allows one request."""
    if not _one_of(rule.get("verbs"), request.verb):
        return False
    if request.path:
        return any(_path_matches(pattern, request.path) for pattern in rule.get("nonResourceURLs") or ())
    return (
        _one_of(rule.get("apiGroups"), request.group)
        and _resource_matches(rule.get("resources") or (), request)
        and (not rule.get("resourceNames") or request.name in rule["resourceNames"])
    )


def names(subject: Mapping[str, str], user: User, namespace: str) -> bool:
    """Whether a binding's subject is this user. `namespace` is the binding's, for accounts that give none."""
    match subject.get("kind"):
        case "User":
            return user.name == subject["name"]
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return bool(home) and user.name == f"system:serviceaccount:{home}:{subject['name']}"
    return False


def _one_of(values: Iterable[str] | None, wanted: str) -> bool:
    return any(value in ("*", wanted) for value in values or ())


def _resource_matches(patterns: Iterable[str], request: Asked) -> bool:
    """`pods` is pods alone; `pods/log` and `*/log` are the subresource; `*` is everything."""
    full = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    accepted = {"*", full} | ({f"*/{request.subresource}"} if request.subresource else set())
    return any(pattern in accepted for pattern in patterns)


def _path_matches(pattern: str, path: str) -> bool:
    """`/api/*` takes everything that begins with `/api/`; only a trailing star is special."""
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == path


def _subject_words(subject: Mapping[str, str]) -> str:
    if subject["kind"] == "ServiceAccount":
        return f'ServiceAccount "{subject["name"]}/{subject.get("namespace", "")}"'
    return f'{subject["kind"]} "{subject["name"]}"'
