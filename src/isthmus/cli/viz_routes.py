"""`linkerd viz stat-inbound` and `stat-outbound`: a workload's traffic in detail."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options
from isthmus.cli.viz_ask import ask, complain, require_existing, understood, window
from isthmus.kube import errors
from isthmus.kube.kinds import Object, plain
from isthmus.resources import routes
from isthmus.viz import api, tables

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

ROUTE: Final = "HTTPRoute"
Routes = Mapping[tuple[str, str, str], str]
"""Namespace, name and port of a Service (port "" for all of them) to the HTTPRoute by which its requests go."""

SHARED = (
    cluster_options,
    click.argument("resources", nargs=-1, metavar="TYPE[/NAME] | TYPE NAME..."),
    click.option("-n", "--namespace", default=None, help="Namespace of the workload [default: the context's]"),
    click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces"),
    click.option("-t", "--time-window", default="1m", show_default=True, callback=window, help="15s to 10m"),
    click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output format"),
)


def shared(command: Any) -> Any:
    """The flags of both."""
    for option in reversed(SHARED):
        command = option(command)
    return command


@click.command("stat-inbound", epilog="\b\nExamples:\n  linkerd viz stat-inbound deploy/backend -t 5m")
@shared
def stat_inbound(*, cluster: Cluster, resources: tuple[str, ...], **flags: Any) -> None:
    """Show what a workload is asked, port by port."""
    _tell(cluster, resources, inbound=True, **flags)


@click.command("stat-outbound", epilog="\b\nExamples:\n  linkerd viz stat-outbound deploy/frontend")
@shared
def stat_outbound(*, cluster: Cluster, resources: tuple[str, ...], **flags: Any) -> None:
    """Show what a workload asks, service by service, and which backend in which cluster answers.

    A backend is followed by its cluster in parentheses where that is another one.
    """
    _tell(cluster, resources, inbound=False, **flags)


def _tell(
    cluster: Cluster,
    words: tuple[str, ...],
    *,
    inbound: bool,
    namespace: str | None,
    all_namespaces: bool,
    time_window: float,
    output: str,
) -> None:
    wanted = understood(words)
    with connected(cluster) as client:
        here = namespace or client.namespace or "default"
        question = api.RoutesQuestion(
            resources=wanted, inbound=inbound, namespace=here, all_namespaces=all_namespaces, window=time_window
        )
        answer = ask(client, cluster, api.ROUTES_PATH, question, api.RoutesAnswer)
        if not answer.rows and not all_namespaces:
            for resource in wanted:
                require_existing(client, resource, here)
        rows = answer.rows if inbound else tuple(_routed(_attached(client), answer.rows))
    complain(answer.problems, asked=time_window, covered=answer.window)
    if output == "json":
        click.echo(json.dumps(tables.routes_json(rows, answer.window, inbound=inbound), indent=2))
    elif rows:
        click.echo(tables.routes(rows, inbound=inbound))
    else:
        click.echo("No traffic found.", err=True)


def _routed(attached: Routes, rows: tuple[api.RouteRow, ...]) -> Iterator[api.RouteRow]:
    """The rows, each with the route by which its requests went: the mesh serves routes for all requests of a port."""
    for row in rows:
        name, _, port = row.service.partition(":")
        service = row.service_namespace, name
        route = attached.get((*service, port)) or attached.get((*service, ""))
        yield msgspec.structs.replace(row, route=route, type=ROUTE) if route else row


def _attached(client: "SyncClient") -> Routes:
    """What the control plane says of HTTPRoutes; it serves none where the cluster does not know the kind."""
    found: dict[tuple[str, str, str], str] = {}
    for kind in routes.KINDS:
        try:
            items = client.list(plain(kind.api_version, kind.kind, kind.plural), None)
        except errors.NotFound:
            continue
        except errors.Forbidden:
            click.echo(f"You may not list {kind.plural} of {kind.api_version}: the routes are not told.", err=True)
            continue
        found |= {key: item["metadata"]["name"] for item in items for key in _services(item)}
    return found


def _services(route: Object) -> Iterator[tuple[str, str, str]]:
    for parent in route.get("status", {}).get("parents") or ():
        reference = parent.get("parentRef", {})
        states = {each["type"]: each["status"] for each in parent.get("conditions") or ()}
        ours = parent.get("controllerName") == names.ROUTE_CONTROLLER and reference.get("kind") == "Service"
        if ours and states and all(state == "True" for state in states.values()):
            yield route["metadata"]["namespace"], reference["name"], str(reference.get("port") or "")
