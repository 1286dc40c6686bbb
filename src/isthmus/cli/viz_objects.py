"""The objects of the viz extension in a cluster: what its installations made, by the label that all of them carry."""

from typing import TYPE_CHECKING, Any, Final

from isthmus import names
from isthmus.install.viz import manifests
from isthmus.install.viz_values import VizValues
from isthmus.kube.kinds import Kind, Object, plain

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

SELECTOR: Final = f"{names.EXTENSION_LABEL}=viz"
Identity = tuple[str, str, str]
"""Kind, namespace ("" for what lies in none), name."""


def identity(item: Object) -> Identity:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def bare(item: Object) -> Object:
    """Enough of it for `kubectl delete`."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace") if key in item["metadata"]}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}


def present(client: "SyncClient") -> list[Object]:
    """What installations made, whatever their values were, in the order in which it can be applied."""
    return [
        {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": item["metadata"]}
        for kind in _kinds()
        for item in client.list(kind, None, labels=SELECTOR)
    ]


def left_over(there: list[Object], values: VizValues) -> list[Object]:
    """What an installation with these values would not make."""
    made = {identity(item) for item in manifests(values)}
    return [item for item in there if identity(item) not in made]


def _kinds() -> list[Kind[Any]]:
    kinds = {
        item["kind"]: plain(
            item["apiVersion"], item["kind"], f"{item['kind'].lower()}s", namespaced="namespace" in item["metadata"]
        )
        for item in manifests(VizValues())
    }
    return list(kinds.values())
