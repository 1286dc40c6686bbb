"""Images of the lab: the name of an image stands for a program of this machine. There are no image files.

The tag or digest is ignored. What the lab does not know, the user can add to `images.json` in the lab's folder.
"""

import fnmatch
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import isthmus
from isthmus import names

PROGRAMS: Final = Path(__file__).parent / "programs"
TOOLS: Final = "/isthmus/bin"
"""A folder of every container, first on its PATH, with the programs that its image brings along."""
USER_FILE: Final = "images.json"
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PAUSE: Final = 'trap "exit 0" TERM INT; while :; do sleep 2147483647 & wait $!; done'
NOT_OURS: Final = {"prom/prometheus": ("prometheus", "install it, with Debian `apt-get install prometheus`")}
"""Image -> the program of this machine that stands for it, and how to get that."""


class UnknownImageError(Exception):
    """No program stands for this image."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What runs when a container names this image, where the pod says nothing else."""

    entrypoint: tuple[str, ...] = ()
    """Replaced by the container's `command`."""
    arguments: tuple[str, ...] = ()
    """Replaced by the container's `args`, or dropped when it has a `command`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path in the container -> file of this machine, mounted read-only."""
    working_dir: str = "/"


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def _program(name: str) -> ImageSpec:
    """One of the demo programs. They need the standard library only, which starts faster when told so."""
    return ImageSpec(_python("-I", "-S", str(PROGRAMS / f"{name}.py")))


def find_envoy() -> Path | None:
    """The Envoy binary: what ISTHMUS_ENVOY says, else on PATH, else the checkout's own."""
    if told := os.environ.get("ISTHMUS_ENVOY"):
        return Path(told)
    if found := shutil.which("envoy"):
        return Path(found)
    own = _checkout() / ".envoy/envoy/_bin/envoy"
    return own if own.exists() else None


def find_program(name: str) -> Path | None:
    """A program of Debian's Prometheus: the checkout's own, else the one on PATH."""
    own = _checkout() / ".prometheus" / name
    if own.exists():
        return own
    found = shutil.which(name)
    return Path(found) if found else None


def _checkout() -> Path:
    return Path(isthmus.__file__).parents[2]


def _mesh_tools() -> dict[str, Path]:
    tools = {
        "/linkerd-await": PROGRAMS / "linkerd-await",
        f"{TOOLS}/linkerd-await": PROGRAMS / "linkerd-await",
        f"{TOOLS}/linkerd-identity": PROGRAMS / "linkerd-identity",
    }
    envoy = find_envoy()
    return tools | ({f"{TOOLS}/envoy": envoy} if envoy else {})


def _built_in() -> dict[str, ImageSpec]:
    registry = names.DEFAULT_REGISTRY
    shell = ImageSpec(arguments=("/bin/sh",))
    pause = ImageSpec(("/bin/sh", "-c", _PAUSE))
    curl = ImageSpec(arguments=("curl", "--help"))
    return {
        f"{registry}/{names.CONTROLLER_IMAGE}": ImageSpec(_python("-m", "isthmus.controller")),
        f"{registry}/{names.PROXY_IMAGE}": ImageSpec(_python("-I", "-m", "isthmus.proxy"), files=_mesh_tools()),
        f"{registry}/{names.INIT_IMAGE}": ImageSpec(_python("-I", "-m", "isthmus.proxy.init")),
        f"{registry}/{names.PAUSE_IMAGE}": pause,
        "your-registry/backend": _program("backend"),
        "your-registry/frontend": _program("frontend"),
        "localhost/isthmus/backend": _program("backend"),
        "localhost/isthmus/frontend": _program("frontend"),
        "curlimages/curl": curl,
        "gcr.io/google_containers/pause": pause,
        "registry.k8s.io/pause": pause,
        "pause": pause,
        "busybox": shell,
        "alpine": shell,
        "debian": shell,
        **_of_this_machine(),
    }


def _of_this_machine() -> dict[str, ImageSpec]:
    """Programs that are not part of the lab, as far as they are installed."""
    found = {f"{TOOLS}/{program}": (image, find_program(program)) for image, (program, _) in NOT_OURS.items()}
    return {image: ImageSpec((path,), files={path: program}) for path, (image, program) in found.items() if program}


def repository_of(image: str) -> str:
    """An image's name without tag, digest, and the registry that Docker would add by itself."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    return re.sub(r"^(docker\.io/)?(library/)?", "", name)


def _own(image: str) -> str:
    """The name in the table of one of our images from whatever registry; they are told by their version."""
    repository, _, tag = image.rpartition(":")
    name = repository.rpartition("/")[2]
    ours = (names.CONTROLLER_IMAGE, names.PROXY_IMAGE, names.INIT_IMAGE, names.PAUSE_IMAGE)
    return f"{names.DEFAULT_REGISTRY}/{name}" if tag == names.VERSION and name in ours else ""


class Images:
    """The table of images: the user's first, then the built-in ones."""

    def __init__(self, lab_dir: Path | None = None) -> None:
        self._built_in = _built_in()
        self._file = lab_dir / USER_FILE if lab_dir else None

    def find(self, image: str) -> ImageSpec:
        """The program behind an image name; raises UnknownImageError."""
        repository = repository_of(image)
        for table in (self._user_images(), self._built_in):
            if repository in table:
                return table[repository]
            for pattern, spec in table.items():
                if fnmatch.fnmatchcase(repository, pattern):
                    return spec
        if own := _own(image):
            return self._built_in[own]
        if repository in NOT_OURS:
            program, how = NOT_OURS[repository]
            raise UnknownImageError(
                f'image "{image}" stands for the program {program}, which is not on PATH: {how}, and start the lab '
                f"anew, or run `isthmus lab image add {repository} -- PROGRAM...`"
            )
        raise UnknownImageError(
            f'image "{image}" is not known to the lab: run `isthmus lab image add {repository} -- PROGRAM...`'
        )

    def _user_images(self) -> Mapping[str, ImageSpec]:
        if self._file is None or not self._file.exists():
            return {}
        try:
            entries = json.loads(self._file.read_text())
            return {repository_of(name): parse(entry) for name, entry in entries.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise UnknownImageError(f"{self._file} cannot be read ({error}): correct or delete it") from error


def parse(entry: Mapping[str, Any]) -> ImageSpec:
    """An entry of `images.json`: `{"entrypoint": [...], "args": [...], "env": {...}, "files": {path: file}}`."""
    return ImageSpec(
        entrypoint=tuple(entry.get("entrypoint") or ()),
        arguments=tuple(entry.get("args") or ()),
        environment=dict(entry.get("env") or {}),
        files={path: Path(file) for path, file in (entry.get("files") or {}).items()},
        working_dir=entry.get("workingDir") or "/",
    )


def command_line(image: ImageSpec, command: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """What to run: the container's `command` and `args` over the image's, by Kubernetes' rules."""
    if command:
        return [*command, *arguments]
    return [*image.entrypoint, *(arguments or image.arguments)]


def default_environment() -> dict[str, str]:
    """What every container has in its environment before its image and its pod add theirs."""
    python = Path(sys.executable).parent
    return {"PATH": f"{TOOLS}:{_SYSTEM_PATH}:{python}", "HOME": "/root"}
