"""The rules of a schema that are written in CEL: `x-kubernetes-validations`.

Evaluated by Google's CEL runtime where the package `cel-expr-python` is installed, which is loaded for the first
definition that has rules. Where it is not, or a rule uses a function that only Kubernetes has, whoever writes the
definition is told that its rules are kept and not enforced.
"""

import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final

Schema = Mapping[str, Any]
Problem = tuple[str, str]

RULES: Final = "x-kubernetes-validations"
_RESERVED: Final = frozenset(
    [
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return"),
    ]
)
_ESCAPES: Final = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_REASONS: Final = {
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}
_MOST_PROGRAMS: Final = 1000


class Unusable(Exception):
    """A rule that cannot be evaluated here, and whether it is no CEL at all."""

    def __init__(self, why: str, *, malformed: bool) -> None:
        super().__init__(why)
        self.malformed = malformed


def present(schema: Any) -> bool:
    """Whether a schema has rules anywhere."""
    return next(_rules(schema, ""), None) is not None


def review(schema: Schema) -> tuple[list[Problem], list[str]]:
    """What is wrong with the rules of a schema, and what whoever writes it is to be warned of."""
    problems: list[Problem] = []
    warnings = []
    for path, rule in _rules(schema, ""):
        try:
            _program(str(rule.get("rule", "")))
        except Unusable as error:
            if error.malformed:
                problems.append((f"{path}.{RULES}", f'Invalid value: "{rule.get("rule")}": {error}'))
            else:
                warnings.append(f"{path or 'the schema'}: the rule {rule.get('rule')!r} is not enforced here: {error}")
    return problems, warnings


def problems(obj: Any, old: Any, schema: Schema) -> list[Problem]:
    """Which rules an object breaks, or the change from an old one (None: it is new), as (field path, what)."""
    return list(_broken(obj, old, schema, ""))


def _rules(schema: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(schema, dict):
        return
    for rule in schema.get(RULES) or ():
        yield path, rule
    for name, child in (schema.get("properties") or {}).items():
        yield from _rules(child, f"{path}.{name}".lstrip("."))
    yield from _rules(schema.get("items"), f"{path}[*]")
    yield from _rules(schema.get("additionalProperties"), f"{path}[*]")


def _broken(value: Any, old: Any, schema: Schema, path: str) -> Iterator[Problem]:
    """Rules from the outside in. What did not change is not judged again, so that rules can be added later."""
    if value is None or (old is not None and value == old):
        return
    for rule in schema.get(RULES) or ():
        if (problem := _judged(rule, value, old, schema, path)) is not None:
            yield problem
    if isinstance(value, dict):
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            if isinstance(child := properties.get(key, rest), dict):
                yield from _broken(item, before.get(key), child, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from _broken(item, _counterpart(item, old, schema), items, f"{path}[{index}]")


def _counterpart(item: Any, old: Any, schema: Schema) -> Any:
    """What an item of a list was before: known only where its items have keys."""
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list) or not isinstance(item, dict):
        return None
    same = [other for other in old if all(other.get(key) == item.get(key) for key in keys)]
    return same[0] if len(same) == 1 else None


def _judged(rule: Mapping[str, Any], value: Any, old: Any, schema: Schema, path: str) -> Problem | None:
    text = str(rule.get("rule", ""))
    given = {"self": _typed(value, schema)}
    if re.search(r"\boldSelf\b", text):
        if old is None:
            return None
        given["oldSelf"] = _typed(old, schema)
    try:
        kept, why = _evaluated(text, given)
    except Unusable:
        return None
    if kept is True:
        return None
    return f"{path}{rule.get('fieldPath', '')}".lstrip("."), _words(rule, given, value, why)


def _words(rule: Mapping[str, Any], given: dict[str, Any], value: Any, why: str) -> str:
    """The rule's own message; a broken rule without one is quoted."""
    text = " ".join(str(rule.get("rule")).split())
    message = rule.get("message") or f"failed rule: {text}"
    if why:
        message = f"{why} evaluating rule: {rule.get('message') or text}"
    elif rule.get("messageExpression"):
        try:
            said, wrong = _evaluated(str(rule["messageExpression"]), given)
            message = said if isinstance(said, str) and said.strip() and not wrong else message
        except Unusable:
            pass
    reason = _REASONS.get(str(rule.get("reason")), "Invalid value")
    kind = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}.get(type(value), "number")
    return f"{reason}: {message}" if reason in ("Forbidden", "Required value") else f'{reason}: "{kind}": {message}'


# --- values as CEL has them -----------------------------------------------------------------------------------------
def _typed(value: Any, schema: Schema) -> Any:
    """A value with the types that its schema gives it, and with fields named as expressions name them."""
    if isinstance(value, dict):
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        named = {_escaped(key): _typed(value[key], child) for key, child in properties.items() if key in value}
        if properties and not isinstance(rest, dict):
            return named
        return named | {
            key: _typed(item, rest if isinstance(rest, dict) else {})
            for key, item in value.items()
            if key not in properties
        }
    if isinstance(value, list):
        items = schema.get("items")
        return [_typed(item, items if isinstance(items, dict) else {}) for item in value]
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema.get("type") == "integer" and isinstance(value, float):
        return int(value)
    return value


def _escaped(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for plain, escaped in _ESCAPES:
        name = name.replace(plain, escaped)
    return name


# --- the runtime ----------------------------------------------------------------------------------------------------
def _evaluated(text: str, given: dict[str, Any]) -> tuple[Any, str]:
    """What an expression gives, and the error if it gives none. Raises `Unusable`."""
    program = _program(text)
    try:
        result = program.eval(data={"self": None, "oldSelf": None, **given})
    except RuntimeError as error:
        return None, f"rule evaluation error: {error}"
    if result.type().name() == "*error*" or result.type() == _runtime().Type.ERROR:
        return None, f"rule evaluation error: {result.value()}"
    return result.plain_value(), ""


@lru_cache(_MOST_PROGRAMS)
def _program(text: str) -> Any:
    try:
        return _environment().compile(text)
    except RuntimeError as error:
        first = str(error).partition("\n")[0].partition("ERROR: ")[2] or str(error)
        raise Unusable(first, malformed="yntax error" in str(error)) from None


@cache
def _runtime() -> Any:
    try:
        return importlib.import_module("cel_expr_python.cel")
    except ImportError:
        raise Unusable("the package cel-expr-python is not installed", malformed=False) from None


@cache
def _environment() -> Any:
    """What Kubernetes offers to rules, but for quantities, addresses, parts of URLs, times, and optional old values."""
    cel = _runtime()
    anything, text, truth = cel.Type.DYN, cel.Type.STRING, cel.Type.BOOL
    listed = cel.Type.List(anything)

    def method(name: str, gives: Any, takes: list[Any], impl: Any) -> Any:
        overload = cel.Overload(f"lab_{name}", return_type=gives, parameters=takes, is_member=True, impl=impl)
        return cel.FunctionDecl(name, [overload])

    functions = [
        method("isSorted", truth, [listed], lambda items: list(items) == sorted(items)),
        method("sum", anything, [listed], lambda items: sum(items)),
        method("min", anything, [listed], lambda items: min(items)),
        method("max", anything, [listed], lambda items: max(items)),
        method("find", text, [text, text], _find),
        method("findAll", cel.Type.List(text), [text, text], lambda value, pattern: re.findall(pattern, value)),
        cel.FunctionDecl(
            "isURL", [cel.Overload("lab_isURL", return_type=truth, parameters=[text], impl=_is_url, is_member=False)]
        ),
    ]
    return cel.NewEnv(
        variables={"self": anything, "oldSelf": anything},
        extensions=[_extension(name) for name in ("Strings", "Optional", "Math")],
        functions=functions,
    )


def _extension(name: str) -> Any:
    module = importlib.import_module(f"cel_expr_python.ext.ext_{name.lower()}")
    return getattr(module, f"Ext{name}")()


def _find(value: str, pattern: str) -> str:
    found = re.search(pattern, value)
    return found.group(0) if found else ""


def _is_url(value: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+[^\s]*|/[^\s]*", value) is not None
