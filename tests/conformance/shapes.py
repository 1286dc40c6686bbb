"""Objects that tests create, as small as the API takes them."""

from typing import Any

Object = dict[str, Any]


def config(name: str, data: Object | None = None, **metadata: Any) -> Object:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"} if data is None else data}


def pod(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec}}


def deployment(name: str, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def service(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def applied(api_version: str, kind: str, obj: Object) -> Object:
    """The object as server-side apply wants it: with its type."""
    return {"apiVersion": api_version, "kind": kind, **obj}
