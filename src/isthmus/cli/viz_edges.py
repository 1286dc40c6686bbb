"""`linkerd viz edges`: who talks to whom, and whether it is secured."""

import json
from typing import Final

import click

from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.viz_ask import ask, complain, understood, window
from isthmus.viz import api, tables

EPILOG: Final = """
\b
Examples:
  linkerd viz edges deploy
  linkerd viz edges po -n shop -o wide
  linkerd viz edges deploy -A -o json
"""


@click.command(epilog=EPILOG)
@cluster_options
@click.argument("kind", metavar="TYPE")
@click.option("-n", "--namespace", default=None, help="Namespace of one end [default: the context's]")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces")
@click.option("-t", "--time-window", default="1m", callback=window, hidden=True)
@click.option("-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", help="Output format")
def edges(
    *, cluster: Cluster, kind: str, namespace: str | None, all_namespaces: bool, time_window: float, output: str
) -> None:
    """Show who talks to whom, also across clusters, and whether both proved who they are.

    What runs in another cluster is told as <cluster>:<kind>/<name>; a client there by the service account it proved.
    """
    (resource, *_) = understood((kind,))
    if resource.name or _:
        fail("Name one kind, without a name.", "Like `linkerd viz edges deploy`.")
    with connected(cluster) as client:
        question = api.EdgesQuestion(
            kind=resource.kind,
            namespace=namespace or client.namespace or "default",
            all_namespaces=all_namespaces,
            window=time_window,
        )
        answer = ask(client, cluster, api.EDGES_PATH, question, api.EdgesAnswer)
    complain(answer.problems, asked=0, covered=answer.window)
    if output == "json":
        click.echo(json.dumps(tables.edges_json(answer.edges), indent=2))
    elif answer.edges:
        click.echo(tables.edges(answer.edges, wide=output == "wide"))
    else:
        click.echo("No edges found.", err=True)
