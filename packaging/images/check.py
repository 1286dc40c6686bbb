"""Starts every image's program in a root that holds nothing but the image, before anything is packed."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from images import contents
from images.contents import Image

SECONDS: Final = 60
EVERY_MODULE: Final = (
    "import importlib, pkgutil, isthmus\n"
    "for module in pkgutil.walk_packages(isthmus.__path__, 'isthmus.'):\n"
    "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
)
PROCESSES: Final = (
    "import subprocess, sys\n"
    "from isthmus.controller import PROCESSES\n"
    "for name in PROCESSES:\n"
    "    subprocess.run([sys.executable, '-I', '-m', 'isthmus.controller', name, '--help'], check=True)\n"
)
TRIALS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "controller": ((contents.INTERPRETER, "-I", "-c", EVERY_MODULE), (contents.INTERPRETER, "-I", "-c", PROCESSES)),
    "proxy": (
        ("/usr/local/bin/envoy", "--version"),
        (contents.INTERPRETER, "-I", "-c", "import isthmus.proxy.agent"),
        ("/usr/bin/openssl", "version"),
        ("/linkerd-await", "--help"),
        ("/bin/sh", "-c", "for name in sed grep tr cut sleep; do command -v $name || exit 1; done"),
    ),
    "proxy-init": (("@", "--print"), ("@",), ("/usr/sbin/nft", "list", "ruleset")),
}
"""What is started; `@` is the image's own entrypoint. `pause` waits for ever."""


def run(folders: Mapping[str, Path], scratch: Path) -> list[str]:
    """What does not work, in sentences."""
    return [problem for image in contents.IMAGES for problem in _try(image, folders, scratch / f"try-{image.name}")]


def _try(image: Image, folders: Mapping[str, Path], root: Path) -> list[str]:
    root.mkdir()
    for layer in image.layers:
        # Links to the same files, for nothing here writes; an upper layer's replace a lower one's.
        subprocess.run(["cp", "-al", "--remove-destination", f"{folders[layer.name]}/.", str(root)], check=True)
    problems = []
    for trial in TRIALS.get(image.name, ()):
        command = [*image.entrypoint, *trial[1:]] if trial[0] == "@" else [*trial]
        done = subprocess.run(_contained(root, command), capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            what, said = " ".join(command)[:100], done.stderr.strip()[-800:]
            problems.append(f"image {image.name}: {what} failed: {said} (--no-check builds without trying)")
    shutil.rmtree(root)
    return problems


def _contained(root: Path, command: list[str]) -> list[str]:
    """Own user, network and mount namespaces, so that no root is needed, and `nft` changes nothing of ours."""
    environment = [f"{name}={value}" for name, value in contents.ENVIRONMENT.items()]
    inside = ["env", "-i", *environment]
    return [
        "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork",
        *inside, "chroot", str(root), *command,
    ]  # fmt: skip
