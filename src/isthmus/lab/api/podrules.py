"""What is wrong with the pods that an object asks for, in itself or as a template."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from isthmus.lab.api.contracts import Object
from isthmus.lab.api.reading import get
from isthmus.lab.api.status import bad_request

Problem = tuple[str, str]

DNS_LABEL: Final = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LABEL_WORDS: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_QUANTITY_WORDS: Final = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_FACTORS: Final = {
    **{letter: 1000.0**power for power, letter in enumerate("num", -3)},
    **{letter: 1000.0**power for power, letter in enumerate(("", *"kMGTPE"))},
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)},
}
_OF_POD: Final = {
    "restartPolicy": ("Always", "Never", "OnFailure"),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
}
_OF_CONTAINER: Final = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "terminationMessagePolicy": ("FallbackToLogsOnError", "File"),
}
PROTOCOLS: Final = {"protocol": ("SCTP", "TCP", "UDP")}


def problems(spec: Object, path: str, claims: Iterable[str] = ()) -> list[Problem]:
    """What is wrong with a pod's spec; `claims` are volumes that a StatefulSet adds."""
    found = [] if spec.get("containers") else [(f"{path}.containers", "Required value")]
    found += unsupported(spec, _OF_POD, path)
    volumes, seen = list(claims), set[str]()
    for index, volume in enumerate(spec.get("volumes") or ()):
        if volume["name"] in volumes:
            found.append((f"{path}.volumes[{index}].name", f'Duplicate value: "{volume["name"]}"'))
        volumes.append(volume["name"])
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            if container["name"] in seen:
                found.append((f"{where}.name", f'Duplicate value: "{container["name"]}"'))
            seen.add(container["name"])
            found += _container(container, where, volumes)
    return found


def unsupported(obj: Object, choices: Mapping[str, tuple[str, ...]], path: str) -> Iterator[Problem]:
    """Fields that are none of what they may be."""
    for field, allowed in choices.items():
        value = obj.get(field)
        if value and value not in allowed:
            listed = ", ".join(f'"{choice}"' for choice in allowed)
            yield f"{path}.{field}", f'Unsupported value: "{value}": supported values: {listed}'


def _container(container: Object, where: str, volumes: list[str]) -> Iterator[Problem]:
    if not DNS_LABEL.fullmatch(container["name"]):
        yield f"{where}.name", f'Invalid value: "{container["name"]}": {LABEL_WORDS}'
    if not container.get("image"):
        yield f"{where}.image", "Required value"
    yield from unsupported(container, _OF_CONTAINER, where)
    for index, port in enumerate(container.get("ports") or ()):
        yield from unsupported(port, PROTOCOLS, f"{where}.ports[{index}]")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount["name"] not in volumes:
            yield f"{where}.volumeMounts[{index}].name", f'Not found: "{mount["name"]}"'
    limits = {name: (most, amount(most)) for name, most in (get(container, "resources", "limits") or {}).items()}
    for name, asked in (get(container, "resources", "requests") or {}).items():
        shown, most = limits.get(name, ("", float("inf")))
        if amount(asked) > most:
            why = f'Invalid value: "{asked}": must be less than or equal to {name} limit of {shown}'
            yield f"{where}.resources.requests", why


def amount(quantity: Any) -> float:
    """A quantity as a number; raises `ApiError` 400 for what is none, as it cannot be read at all."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise bad_request(f'"{quantity}" is no quantity: {_QUANTITY_WORDS}')
    number, suffix = match.groups()
    if suffix in _FACTORS or not suffix:
        return float(number) * _FACTORS[suffix or ""]
    return float(number + suffix)
