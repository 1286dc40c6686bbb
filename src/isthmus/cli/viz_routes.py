"""`linkerd viz stat-inbound` and `stat-outbound`: a workload's traffic in detail."""

import json
from typing import Any

import click

from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options
from isthmus.cli.viz_ask import ask, complain, require_existing, understood, window
from isthmus.viz import api, tables

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
    complain(answer.problems, asked=time_window, covered=answer.window)
    if output == "json":
        click.echo(json.dumps(tables.routes_json(answer.rows, answer.window, inbound=inbound), indent=2))
    elif answer.rows:
        click.echo(tables.routes(answer.rows, inbound=inbound))
    else:
        click.echo("No traffic found.", err=True)
