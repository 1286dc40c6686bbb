"""What all objects of the multicluster extension have in common."""

from typing import Any, Final

from isthmus import names
from isthmus.install.workloads import Manifest

EXTENSION: Final = {names.EXTENSION_LABEL: "multicluster"}


def metadata(name: str, namespace: str = "", **extra: dict[str, str]) -> dict[str, Any]:
    labels = EXTENSION | extra.pop("labels", {})
    where = {"namespace": namespace} if namespace else {}
    return {"name": name, **where, "labels": labels, **extra}


def namespace(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata(name, labels={"pod-security.kubernetes.io/enforce": "privileged"}),
    }


def account(name: str, *, namespace: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, namespace)}
