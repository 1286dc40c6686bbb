"""`linkerd viz stat`: success, requests, latency and connections of resources."""

import json
from typing import TYPE_CHECKING, Final

import click

from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.viz_ask import ask, complain, kind_of, require_existing, understood, window
from isthmus.kube.meta import key_of
from isthmus.viz import api, tables
from isthmus.viz.kinds import Resource, UnknownResourceError
from isthmus.viz.stat import require_sense

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

EPILOG: Final = """
\b
Examples:
  linkerd viz stat deploy
  linkerd viz stat po -n shop -o wide
  linkerd viz stat deploy/frontend --to svc/backend-cluster-east
  linkerd viz stat deploy/backend --from deploy/frontend -t 5m
  linkerd viz stat ts/backend-split
  linkerd viz stat all -A -o json
\b
Kinds: au, cj, deploy, ds, job, ns, po, rc, rs, sts, svc, ts; all.
"""


def narrowing(text: str | None) -> Resource | None:
    """The resource that `--to` or `--from` names."""
    if text is None:
        return None
    (found, *more) = understood((text,))
    if more:
        fail(f'"{text}" names more than one kind.')
    return found


@click.command(epilog=EPILOG)
@cluster_options
@click.argument("resources", nargs=-1, metavar="TYPE[/NAME] | TYPE NAME...")
@click.option("-n", "--namespace", default=None, help="Namespace of the resources [default: the context's]")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces")
@click.option("-t", "--time-window", default="1m", show_default=True, callback=window, help="15s to 10m")
@click.option("--to", metavar="TYPE/NAME", help="Only what they send to this resource")
@click.option("--to-namespace", default="", help="Namespace of --to [default: as -n]")
@click.option("--from", "from_", metavar="TYPE/NAME", help="Only what they get from this workload")
@click.option("--from-namespace", default="", help="Namespace of --from [default: as -n]")
@click.option("-l", "--selector", default=None, help="Only resources with these labels")
@click.option("-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", help="Output format")
@click.option("--unmeshed", is_flag=True, help="Also workloads without a proxy")
def stat(
    *,
    cluster: Cluster,
    resources: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    time_window: float,
    to: str | None,
    to_namespace: str,
    from_: str | None,
    from_namespace: str,
    selector: str | None,
    output: str,
    unmeshed: bool,
) -> None:
    """Show success, requests per second, latency and connections of resources.

    A workload's numbers are those of requests it received; with --to, of those it sent. A dash is what nobody counted.
    """
    wanted = understood(resources)
    towards, source = narrowing(to), narrowing(from_)
    with connected(cluster) as client:
        here = namespace or client.namespace or "default"
        question = api.StatQuestion(
            resources=wanted,
            namespace=here,
            all_namespaces=all_namespaces,
            to=towards,
            to_namespace=to_namespace,
            from_=source,
            from_namespace=from_namespace,
            window=time_window,
            unmeshed=unmeshed,
        )
        try:
            require_sense(question)
        except UnknownResourceError as error:
            fail(str(error))
        chosen = None if selector is None else _labelled(client, question, selector)
        answer = ask(client, cluster, api.STAT_PATH, question, api.StatAnswer)
        missing = _missing(question, answer)
        if not all_namespaces:
            for resource in missing:
                require_existing(client, resource, here)
            if not answer.rows and towards:
                require_existing(client, towards, to_namespace or here)
            if not answer.rows and source:
                require_existing(client, source, from_namespace or here)
        bare = [] if answer.rows or not towards else _without_proxy(client, cluster, question)
    complain(answer.problems, asked=time_window, covered=answer.window)
    told = [row for row in answer.rows if chosen is None or (row.namespace, row.name) in chosen]
    rows = [*told, *(_silent(resource, here) for resource in missing if not (towards or source))]
    if output == "json":
        click.echo(json.dumps(tables.stat_json(rows, answer.window), indent=2))
    elif rows:
        click.echo(tables.stat(rows, all_namespaces=all_namespaces, wide=output == "wide"))
    else:
        click.echo("No traffic found.", err=True)
        for row in bare:
            line = f"No pod of {row.kind}/{row.name} has a proxy, so nobody counts what it sends"
            click.echo(f"{line}: `linkerd check --proxy` says why.", err=True)


def _without_proxy(client: "SyncClient", cluster: Cluster, question: api.StatQuestion) -> list[api.StatRow]:
    """Workloads that were named, have pods, and none with a proxy."""
    named = tuple(each for each in question.resources if each.name)
    if not named:
        return []
    alone = api.StatQuestion(resources=named, namespace=question.namespace, unmeshed=True)
    rows = ask(client, cluster, api.STAT_PATH, alone, api.StatAnswer).rows
    return [row for row in rows if row.running and row.meshed == 0]


def _labelled(client: "SyncClient", question: api.StatQuestion, selector: str) -> set[tuple[str, str]]:
    """Namespaces and names of the objects that carry the labels."""
    if len(question.resources) != 1 or question.resources[0].name:
        fail("--selector goes with one kind and no names.", "Like `linkerd viz stat deploy -l app=web`.")
    kind = kind_of(question.resources[0])
    if kind is None:
        fail(f"--selector: {question.resources[0]} is no kind of object with labels.")
    where = None if question.all_namespaces or not kind.namespaced else question.namespace
    return {key_of(item) for item in client.list(kind, where, labels=selector)}


def _missing(question: api.StatQuestion, answer: api.StatAnswer) -> list[Resource]:
    """What was named and got no row."""
    told = {(row.kind, row.name) for row in answer.rows}
    return [each for each in question.resources if each.name and (each.kind, each.name) not in told]


def _silent(resource: Resource, namespace: str) -> api.StatRow:
    """What is there, but said nothing."""
    return api.StatRow(namespace=namespace, kind=resource.kind, name=resource.name, numbers=api.Numbers())
