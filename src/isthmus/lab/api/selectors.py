"""Label and field selectors, as query parameters spell them."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from isthmus.lab.api.contracts import Object
from isthmus.lab.api.status import bad_request

Predicate = Callable[[Object], bool]
Requirement = Callable[[Mapping[str, str]], bool]

_KEY: Final = r"(?:[A-Za-z0-9.\-]+/)?[A-Za-z0-9](?:[A-Za-z0-9._\-]*[A-Za-z0-9])?"
_VALUE: Final = r"[A-Za-z0-9._\-]*"
_SET: Final = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUAL: Final = re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*({_VALUE})\s*")
_EXISTS: Final = re.compile(rf"\s*(!?)\s*({_KEY})\s*")
_COMMA_OUTSIDE_PARENTHESES: Final = re.compile(r",(?![^()]*\))")

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "status.phase": ("status", "phase"),
    "status.podIP": ("status", "podIP"),
    "spec.nodeName": ("spec", "nodeName"),
    "spec.restartPolicy": ("spec", "restartPolicy"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
    "spec.unschedulable": ("spec", "unschedulable"),
    "spec.clusterIP": ("spec", "clusterIP"),
    "spec.type": ("spec", "type"),
    "status.replicas": ("status", "replicas"),
    "status.successful": ("status", "succeeded"),
    "type": ("type",),
    "reason": ("reason",),
    "reportingComponent": ("reportingComponent",),
    "source": ("source", "component"),
    "reportingController": ("reportingComponent",),
    **{
        f"{prefix}.{field}": ("involvedObject", field)
        for prefix in ("involvedObject", "regarding")
        for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
}

FIELDS_OF_ALL: Final = {name: FIELDS[name] for name in ("metadata.name", "metadata.namespace")}


def parse_labels(text: str) -> list[Requirement]:
    """The requirements of a label selector; raises `ApiError` 400 for one that does not parse."""
    if not text.strip():
        return []
    return [_requirement(term) for term in _COMMA_OUTSIDE_PARENTHESES.split(text)]


def _requirement(term: str) -> Requirement:
    if match := _SET.fullmatch(term):
        key, operator, listed = match.groups()
        values = frozenset(value.strip() for value in listed.split(","))
        if operator == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.fullmatch(term):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.fullmatch(term):
        negated, key = match.groups()
        return (lambda labels: key not in labels) if negated else (lambda labels: key in labels)
    raise bad_request(f'unable to parse requirement: found "{term.strip()}", expected a label selector')


def parse_fields(text: str, indexed: Mapping[str, tuple[str, ...]] = FIELDS) -> list[Predicate]:
    """The requirements of a field selector; raises `ApiError` 400 for a field nobody indexes."""
    return [_field_requirement(term, indexed) for term in text.split(",") if term.strip()]


def _field_requirement(term: str, indexed: Mapping[str, tuple[str, ...]]) -> Predicate:
    match = re.fullmatch(r"\s*([^!=\s]+)\s*(==|=|!=)\s*(.*?)\s*", term)
    if match is None:
        raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
    name, operator, wanted = match.groups()
    path = indexed.get(name)
    if path is None:
        raise bad_request(f'field label not supported: "{name}"')
    return lambda obj: (_at(obj, path) == wanted) == (operator != "!=")


def _at(obj: Object, path: tuple[str, ...]) -> str:
    value: object = obj
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def matcher(labels: str, fields: str, indexed: Mapping[str, tuple[str, ...]] = FIELDS) -> Predicate | None:
    """One predicate for both selectors; None when everything matches."""
    requirements = parse_labels(labels)
    predicates = parse_fields(fields, indexed)
    if not requirements and not predicates:
        return None

    def matches(obj: Object) -> bool:
        if not all(predicate(obj) for predicate in predicates):
            return False
        found = obj["metadata"].get("labels") or {}
        return all(requirement(found) for requirement in requirements)

    return matches
