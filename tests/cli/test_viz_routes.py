"""By which HTTPRoute the requests of a workload went."""

from typing import Any, cast

from isthmus import names
from isthmus.cli import viz_routes
from isthmus.kube import errors
from isthmus.kube.blocking import SyncClient
from isthmus.viz.api import Numbers, RouteRow


class Cluster:
    """Knows one of the two kinds of HTTPRoutes, and has these."""

    def __init__(self, *routes: Any) -> None:
        self.routes = routes

    def list(self, kind: Any, _: str | None) -> list[Any]:
        if "gateway" not in kind.api_version:
            raise errors.NotFound("the server could not find the requested resource", code=404)
        return list(self.routes)


def route(name: str, parent: str, port: int | None = None, *, namespace: str = "shop", **changes: str) -> Any:
    states = {"Accepted": "True", "ResolvedRefs": "True"} | changes
    said = {
        "controllerName": changes.get("controller", names.ROUTE_CONTROLLER),
        "parentRef": {"kind": "Service", "name": parent, "port": port},
        "conditions": [{"type": kind, "status": state} for kind, state in states.items() if kind != "controller"],
    }
    return {"metadata": {"name": name, "namespace": namespace}, "status": {"parents": [said]}}


def told(*routes: Any) -> list[tuple[str, str]]:
    rows = tuple(
        RouteRow(
            namespace="shop", kind="deployment", name="web", route="[default]", numbers=Numbers(),
            service=service, service_namespace="shop", backend="",
        )
        for service in ("db:80", "db:81")
    )  # fmt: skip
    attached = viz_routes._attached(cast("SyncClient", Cluster(*routes)))
    return [(row.route, row.type) for row in viz_routes._routed(attached, rows)]


def test_requests_are_told_by_the_route_of_their_port() -> None:
    assert told(route("one", "db", 80)) == [("one", "HTTPRoute"), ("[default]", "")]
    assert told(route("all", "db"), route("one", "db", 80)) == [("one", "HTTPRoute"), ("all", "HTTPRoute")]


def test_a_route_that_is_not_used_is_not_named() -> None:
    default = [("[default]", "")] * 2
    assert told(route("refused", "db", Accepted="False")) == default
    assert told(route("another-mesh", "db", controller="example.org/mesh")) == default
    assert told(route("another-namespace", "db", namespace="other")) == default
    assert told({"metadata": {"name": "new", "namespace": "shop"}}) == default
