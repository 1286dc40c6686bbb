"""Volumes: what a pod's volumes contain, and writing it so that a reader sees old or new, never half.

`contents` is what should be there; `write` puts it there the way Kubernetes does: a folder per version, and one link
that is switched. Containers mount the volume's folder, so changes reach them while they run.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from isthmus.lab.client import Object
from isthmus.lab.node.environment import ConfigError, Lookup, field, find, resource

_CURRENT: Final = "..data"
DEFAULT_MODE: Final = 0o644
TOKEN_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int = DEFAULT_MODE


Files = dict[str, File]


@dataclass(frozen=True, slots=True, order=True)
class TokenRequest:
    """A service account token that a pod wants: for whom, and for how long."""

    audience: str
    seconds: int


Tokens = Callable[[TokenRequest], str]


def token_requests(spec: Mapping[str, Any]) -> set[TokenRequest]:
    """The tokens that a pod's projected volumes ask for."""
    return {
        _token_request(source["serviceAccountToken"])
        for volume in spec.get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
        if "serviceAccountToken" in source
    }


def _token_request(source: Mapping[str, Any]) -> TokenRequest:
    return TokenRequest(source.get("audience") or "", int(source.get("expirationSeconds") or TOKEN_SECONDS))


def references(spec: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Kind and name of every config map and secret that a pod's volumes show."""
    found: set[tuple[str, str]] = set()
    for volume in spec.get("volumes") or ():
        for part in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if source := part.get("configMap"):
                found.add(("ConfigMap", source.get("name", "")))
            if source := part.get("secret"):
                found.add(("Secret", source.get("secretName") or source.get("name", "")))
    return found


def contents(pod: Object, volume: Mapping[str, Any], lookup: Lookup, tokens: Tokens) -> Files | None:
    """What a volume should hold; None for one that is the containers' own. Raises ConfigError."""
    if "emptyDir" in volume:
        return None
    projected = volume.get("projected")
    if projected is not None:
        files: Files = {}
        mode = int(projected.get("defaultMode") or DEFAULT_MODE)
        for source in projected.get("sources") or ():
            files |= _part(pod, source, mode, lookup, tokens)
        return files
    for kind in ("configMap", "secret", "downwardAPI"):
        if (source := volume.get(kind)) is not None:
            return _part(pod, {kind: source}, int(source.get("defaultMode") or DEFAULT_MODE), lookup, tokens)
    kinds = ", ".join(key for key in volume if key != "name") or "nothing"
    raise ConfigError(
        f'volume "{volume["name"]}" is of a kind the lab does not have ({kinds}): '
        "use emptyDir, configMap, secret, projected or downwardAPI"
    )


def _part(pod: Object, source: Mapping[str, Any], mode: int, lookup: Lookup, tokens: Tokens) -> Files:
    if (wanted := source.get("serviceAccountToken")) is not None:
        return {wanted["path"]: File(tokens(_token_request(wanted)).encode(), mode)}
    if (wanted := source.get("downwardAPI")) is not None:
        return {item["path"]: _downward(pod, item, mode) for item in wanted.get("items") or ()}
    for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if (wanted := source.get(key)) is not None:
            name = wanted.get("secretName") or wanted.get("name", "")
            return _chosen(kind, name, wanted, mode, lookup)
    raise ConfigError(f"a projected source of a kind the lab does not have: {', '.join(source)}")


def _downward(pod: Object, item: Mapping[str, Any], mode: int) -> File:
    if reference := item.get("fieldRef"):
        text = field(pod, reference["fieldPath"])
    else:
        text = resource(pod["spec"], {}, item["resourceFieldRef"])
    return File(text.encode(), int(item.get("mode") or mode))


def _chosen(kind: str, name: str, source: Mapping[str, Any], mode: int, lookup: Lookup) -> Files:
    optional = bool(source.get("optional"))
    data = find(kind, name, lookup, optional=optional)
    if data is None:
        return {}
    if not source.get("items"):
        return {key: File(value, mode) for key, value in data.items()}
    files: Files = {}
    for item in source["items"]:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], int(item.get("mode") or mode))
        elif not optional:
            raise ConfigError(f"references non-existent {kind.lower()} key: {item['key']} of {name}")
    return files


def make_empty(folder: Path) -> None:
    """An emptyDir: every user of the pod may write."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)


def write(folder: Path, files: Files) -> bool:
    """Make `folder` hold exactly `files`, at one stroke; whether anything changed."""
    if folder.exists() and read(folder) == files:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    version = folder / f"..{uuid4().hex}"
    version.mkdir(mode=0o755)
    for name, file in files.items():
        _write_file(version, name, file)
    current = folder / _CURRENT
    previous = os.readlink(current) if current.is_symlink() else ""
    _link(version.name, current)
    _expose(folder, {name.split("/")[0] for name in files})
    if previous:
        shutil.rmtree(folder / previous, ignore_errors=True)
    return True


def read(folder: Path) -> Files:
    """What a volume holds now."""
    version = folder / _CURRENT
    if not version.exists():
        return {}
    found = (path for path in version.rglob("*") if path.is_file())
    return {str(p.relative_to(version)): File(p.read_bytes(), p.stat().st_mode & 0o777) for p in found}


def _write_file(version: Path, name: str, file: File) -> None:
    if name.startswith("/") or ".." in name.split("/"):
        raise ConfigError(f"{json.dumps(name)} is not a path inside a volume")
    path = version / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.write_bytes(file.data)
    path.chmod(file.mode)


def _expose(folder: Path, wanted: Iterable[str]) -> None:
    names = set(wanted)
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_CURRENT}/{name}")


def _link(target: str, link: Path) -> None:
    temporary = link.with_name(f"{_CURRENT}_tmp")
    temporary.symlink_to(target)
    temporary.replace(link)
