"""Where an API server is and who we are there: in a pod, from kubeconfig files, or from the bytes of a Secret."""

import os
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from lightkube.config.kubeconfig import SERVICE_ACCOUNT, KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from isthmus.kube import errors

Source = str | os.PathLike[str] | dict[str, Any] | bytes | None
"""A path, the parsed content, the raw content, or None for what the surroundings say."""

_LISTS: Final = ("clusters", "contexts", "users")


def load(source: Source, context: str | None) -> SingleConfig:
    """One server and one user; raises `ConfigError`.

    With no source: the pod's service account when there is one and no context was asked for, then the files of
    `$KUBECONFIG`, then `~/.kube/config`, as kubectl does.
    """
    try:
        found = _kubeconfig(source, context)
        if context and context not in found.contexts:
            known = ", ".join(sorted(found.contexts)) or "none"
            raise errors.ConfigError(f'The kubeconfig has no context "{context}"; it has {known}.')
        config = found.get(context)
    except LightkubeConfigError as error:
        raise errors.ConfigError(f"The kubeconfig cannot be used: {str(error).rstrip('.')}.") from error
    except (KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError, msgspec.ValidationError) as error:
        detail = (
            f"it has no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {_first_line(error)}"
        )
        raise errors.ConfigError(f"The kubeconfig is malformed: {detail}.") from error
    if config is None:
        raise errors.ConfigError("The kubeconfig has no current context; name one with --context.")
    if isinstance(source, bytes):
        _refuse_local(config)
    # An absent user means an anonymous one; the library wants an object.
    return config._replace(user=config.user or User())


def _refuse_local(config: SingleConfig) -> None:
    """A kubeconfig that came from elsewhere must not make this process run programs or read files."""
    user = config.user or User()
    files = (user.token_file, user.client_cert, user.client_key, config.cluster.certificate_auth)
    if user.exec or any(files):
        raise errors.ConfigError(
            "The kubeconfig refers to programs or files, which a kubeconfig in a Secret may not; "
            "make it self-contained, as `kubectl config view --flatten` does."
        )


def _kubeconfig(source: Source, context: str | None) -> KubeConfig:
    if isinstance(source, bytes):
        # From a stranger: nested deeply enough, it would make the C parser overflow the stack and end the process.
        return KubeConfig.from_dict(_mapping(source.decode(), loader=yaml.SafeLoader))
    if isinstance(source, dict):
        return KubeConfig.from_dict(source)
    if source is not None:
        return _from_files([Path(source)])
    if context is None and in_cluster():
        return KubeConfig.from_service_account()
    listed = os.environ.get("KUBECONFIG", "")
    return _from_files([Path(part) for part in listed.split(os.pathsep) if part] or [Path("~/.kube/config")])


def in_cluster() -> bool:
    """Whether this process runs in a pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and Path(SERVICE_ACCOUNT, "token").exists()


def _from_files(paths: list[Path]) -> KubeConfig:
    """The files merged: the first to name an entry, or the current context, wins."""
    merged: dict[str, Any] = {name: [] for name in _LISTS}
    existing = [path for path in (path.expanduser() for path in paths) if path.is_file()]
    if not existing:
        raise errors.ConfigError(
            f"There is no kubeconfig at {', '.join(map(str, paths))}; name one with --kubeconfig or $KUBECONFIG."
        )
    for path in existing:
        content = _mapping(path.read_text(), f" {path}")
        for name in _LISTS:
            known = {entry["name"] for entry in merged[name]}
            merged[name] += [
                _absolute(entry, path.parent) for entry in content.get(name) or [] if entry["name"] not in known
            ]
        if not merged.get("current-context"):
            merged["current-context"] = content.get("current-context")
    return KubeConfig.from_dict(merged, fname=existing[0])


_PATHS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def _absolute(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with file names relative to its own file, which may not be the first of the merged ones."""
    return {
        name: {key: str(folder / value) if key in _PATHS else value for key, value in content.items()}
        if isinstance(content, dict)
        else content
        for name, content in entry.items()
    }


_FAST_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _mapping(text: str, where: str = "", *, loader: Any = _FAST_LOADER) -> dict[str, Any]:
    content = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader
    if not isinstance(content, dict):
        raise errors.ConfigError(f"The kubeconfig{where} is malformed: it is not a mapping.")
    return content


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else "no detail"
