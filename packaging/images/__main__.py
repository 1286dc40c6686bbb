"""`python -m images [--registry REGISTRY] [--version VERSION] [--output FILE]`: builds and tries the archive."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from images import archive, check, contents, debian, layers


def main() -> int:
    flags = parser().parse_args()
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    target = flags.output or contents.ROOT / f"dist/isthmus-{flags.version}-{architecture}.tar"
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = list(dict.fromkeys(layer for image in contents.IMAGES for layer in image.layers))
    with tempfile.TemporaryDirectory(prefix="isthmus-images-") as scratch:
        folders = {layer.name: Path(scratch) / layer.name for layer in wanted}
        try:
            packages = debian.fetch(sorted({name for layer in wanted for name in layer.debian}), flags.cache)
        except debian.PackageError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        interpreter = folders[contents.BASE.name]
        for layer in wanted:
            own = layer is contents.BASE
            layers.assemble(layer, folders[layer.name], packages=packages, interpreter=None if own else interpreter)
        problems = check.run(folders, Path(scratch)) if flags.check else []
        if problems:
            print("\n".join(f"error: {problem}" for problem in problems), file=sys.stderr)
            return 1
        blobs = {name: layers.pack(folder, Path(scratch) / f"{name}.tar.gz") for name, folder in folders.items()}
        built = archive.write(
            contents.IMAGES,
            blobs,
            target,
            registry=flags.registry,
            version=flags.version,
            architecture=architecture,
        )
        shutil.rmtree(scratch, ignore_errors=True)
    for image in built:
        print(f"{image.reference}  {image.digest}  {image.size / 1e6:.0f} MB")
    print(f"{target}  {target.stat().st_size / 1e6:.0f} MB")
    return 0


def parser() -> argparse.ArgumentParser:
    project = tomllib.loads((contents.ROOT / "pyproject.toml").read_text())["project"]
    made = argparse.ArgumentParser(prog="images", description=__doc__)
    made.add_argument("--registry", default="localhost/isthmus")
    made.add_argument("--version", default=project["version"])
    made.add_argument("--output", type=Path)
    made.add_argument("--cache", type=Path, default=contents.ROOT / ".image-cache")
    made.add_argument("--no-check", dest="check", action="store_false", help="do not start what was built")
    return made


if __name__ == "__main__":
    sys.exit(main())
