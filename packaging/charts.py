"""Writes the Helm charts, as folders and as packages that `helm install` takes, into dist/charts/."""

import gzip
import io
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Final

from isthmus import names
from isthmus.install import chart

TARGET: Final = Path(__file__).parents[1] / "dist/charts"


def main(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for name, files in chart.charts().items():
        for path, text in files.items():
            file = target / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        packed = target / f"{name}-{names.VERSION}.tgz"
        packed.write_bytes(package(name, files))
        print(packed)


def package(name: str, files: chart.Files) -> bytes:
    """The chart as one file; equal charts give equal bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in sorted(files.items()):
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mode = len(text.encode()), 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(plain.getvalue(), mtime=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else TARGET)
