"""Objects to the text that `kubectl apply -f -` reads."""

import json
from collections.abc import Iterable
from typing import Any, Literal

import yaml

OutputFormat = Literal["yaml", "json"]


class _Dumper(yaml.CSafeDumper):
    """Keeps PEM and other multi-line text readable, and never writes an alias for a value that occurs twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.representer.SafeRepresenter, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|" if "\n" in text else None)


_Dumper.add_representer(str, _string)
_Dumper.add_multi_representer(str, _string)


def render(objects: Iterable[dict[str, Any]], output: OutputFormat = "yaml") -> str:
    """YAML documents, or one JSON `List` object."""
    if output == "json":
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=2) + "\n"
    return "---\n".join(yaml_text(manifest) for manifest in objects)


def yaml_text(tree: dict[str, Any]) -> str:
    """One YAML document."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=120)
