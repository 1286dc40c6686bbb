"""An object as its kind wants it: normalized, defaulted, checked."""

from isthmus.lab.api import celrules, crd, defaults, models, rules, schema
from isthmus.lab.api.bodies import Options, Target, without_nulls
from isthmus.lab.api.contracts import WARNINGS, Object, ResourceInfo
from isthmus.lab.api.status import bad_request, invalid


def completed(
    definitions: crd.Definitions, target: Target, obj: Object, old: Object | None, options: Options
) -> Object:
    """The object with everything filled in; raises `ApiError` for what its kind does not take."""
    if target.info.custom:
        return _custom(definitions, target, obj, old, options)
    info = target.info
    obj = without_nulls(obj)
    models.check(info, target.name, obj)
    obj, unknown = models.known(info, obj)
    _tell_unknown(unknown, options)
    obj = defaults.fill(info, obj)  # without_nulls has copied it
    if (info.group, info.kind) == ("", "Namespace") and old is None:
        obj = obj | {"spec": {"finalizers": ["kubernetes"]} | (obj.get("spec") or {})}
    if target.kind == crd.CRD:
        obj = _definition(info, obj)
    if problems := rules.problems(info, obj):
        raise invalid(info, target.name, problems)
    return obj


def _custom(definitions: crd.Definitions, target: Target, obj: Object, old: Object | None, options: Options) -> Object:
    """By the schema of its definition; by its rules when the rest is right, as they may rely on it."""
    found = definitions.schema(target.info) or {}
    obj, pruned = schema.prepare(obj, found)
    _tell_unknown(pruned, options)
    models.check(target.info, target.name, obj)
    if problems := rules.metadata_problems(obj) + schema.problems(obj, found):
        raise invalid(target.info, target.name, problems)
    if definitions.ruled(target.info) and (problems := celrules.problems(obj, old, found)):
        raise invalid(target.info, target.name, problems)
    return obj


def _definition(info: ResourceInfo, obj: Object) -> Object:
    obj = crd.completed(obj)
    problems = crd.problems(obj)
    for index, version in enumerate((obj.get("spec") or {}).get("versions") or ()):
        wrong, unusable = celrules.review((version.get("schema") or {}).get("openAPIV3Schema") or {})
        where = f"spec.versions[{index}].schema.openAPIV3Schema."
        problems += [(where + path.lstrip("."), why) for path, why in wrong]
        warn(unusable)
    if problems:
        raise invalid(info, obj["metadata"]["name"], problems)
    return crd.established(obj)


def _tell_unknown(paths: list[str], options: Options) -> None:
    told = [f'unknown field "{path}"' for path in paths]
    if told and options.unknown == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(told)}")
    if options.unknown == "Warn":
        warn(told)


def warn(texts: list[str]) -> None:
    """Have the reply tell what kubectl prints as warnings, each once."""
    warnings = WARNINGS.get()
    if warnings is not None:
        warnings += [text for text in texts if text not in warnings]
