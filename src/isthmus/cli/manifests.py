"""Reading Kubernetes manifests from files and standard input, and writing them back."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from isthmus.cli.options import fail

Manifest = dict[str, Any]


def read(source: str) -> Iterator[Manifest]:
    """The objects in a file, a folder of .yaml files, or standard input (`-`); Lists are opened."""
    for name, text in _texts(source):
        try:
            documents = list(yaml.load_all(text, Loader=_Loader))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}" if mark else ""
            fail(f"{name} is not YAML{where}: {getattr(error, 'problem', error)}")
        for document in documents:
            if document is None:
                continue
            if not isinstance(document, dict) or "kind" not in document:
                fail(f"{name} holds something that is not a Kubernetes object (it has no `kind`)")
            yield from document.get("items", []) if document["kind"] == "List" else [document]


def _texts(source: str) -> Iterator[tuple[str, str]]:
    if source == "-":
        yield "standard input", sys.stdin.read()
        return
    path = Path(source)
    if not path.exists():
        fail(f"{source}: there is no such file or folder")
    for file in sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]:
        yield str(file), file.read_text()


class _Loader(yaml.CSafeLoader):
    """YAML 1.2 habits: times, `on`/`off` and octal-looking numbers stay the text that was written."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {"tag:yaml.org,2002:timestamp"}]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
