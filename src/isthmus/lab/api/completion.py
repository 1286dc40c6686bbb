"""An object as its kind wants it: normalized, defaulted, checked."""

from isthmus.lab.api import crd, defaults, models, rules, schema
from isthmus.lab.api.bodies import Options, Target, without_nulls
from isthmus.lab.api.contracts import WARNINGS, Object, ResourceInfo
from isthmus.lab.api.status import bad_request, invalid


def completed(definitions: crd.Definitions, target: Target, obj: Object, options: Options, *, new: bool) -> Object:
    """The object with everything filled in; raises `ApiError` for what its kind does not take."""
    if target.info.custom:
        return _custom(definitions.schema(target.info) or {}, target, obj, options)
    info = target.info
    obj = without_nulls(obj)
    models.check(info, target.name, obj)
    obj, unknown = models.known(info, obj)
    _tell_unknown(unknown, options)
    obj = defaults.fill(info, obj)  # without_nulls has copied it
    if (info.group, info.kind) == ("", "Namespace") and new:
        obj = obj | {"spec": {"finalizers": ["kubernetes"]} | (obj.get("spec") or {})}
    if target.kind == crd.CRD:
        obj = _definition(info, obj)
    if problems := rules.problems(info, obj):
        raise invalid(info, target.name, problems)
    return obj


def _custom(found: Object, target: Target, obj: Object, options: Options) -> Object:
    """By the schema of its definition."""
    obj, pruned = schema.prepare(obj, found)
    _tell_unknown(pruned, options)
    models.check(target.info, target.name, obj)
    if problems := rules.metadata_problems(obj) + schema.problems(obj, found):
        raise invalid(target.info, target.name, problems)
    return obj


def _definition(info: ResourceInfo, obj: Object) -> Object:
    obj = crd.completed(obj)
    if problems := crd.problems(obj):
        raise invalid(info, obj["metadata"]["name"], problems)
    return crd.established(obj)


def _tell_unknown(paths: list[str], options: Options) -> None:
    told = [f'unknown field "{path}"' for path in paths]
    if told and options.unknown == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(told)}")
    warnings = WARNINGS.get()
    if options.unknown == "Warn" and warnings is not None:
        warnings += [text for text in told if text not in warnings]
