"""`linkerd viz tap` and `top`: single requests of workloads, live, and what they add up to."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.tap_feeds import MOST_PODS, Event, Feeds, follow
from isthmus.cli.viz_ask import require_existing, understood
from isthmus.cli.viz_stat import narrowing
from isthmus.kube import durations, errors
from isthmus.resources.core import PODS, SERVICES, Service
from isthmus.viz.kinds import WORKLOADS, Resource
from isthmus.viz.tapped import Names, Request, Top, as_object, host, lines
from isthmus.viz.workloads import Target, target

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

MAX_RPS: Final = 100
ROWS: Final = 40
CLEAR: Final = "\x1b[H\x1b[2J"
TAP_EPILOG: Final = """
\b
Examples:
  linkerd viz tap deploy/frontend
  linkerd viz tap deploy/frontend --to svc/backend-cluster-east --method GET --path /api
  linkerd viz tap ns/shop --max-rps 10 -o json
\b
Who may run programs in these pods (pods/exec) may tap them; nobody else.
"""
TOP_EPILOG: Final = """
\b
Examples:
  linkerd viz top deploy/frontend
  linkerd viz top deploy/frontend --for 10s
"""


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return durations.parse(value).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


SHARED: Final = (
    cluster_options,
    click.argument("resources", nargs=-1, metavar="TYPE[/NAME] | TYPE NAME..."),
    click.option("-n", "--namespace", default=None, help="Namespace of the resources [default: the context's]"),
    click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces"),
    click.option("--to", metavar="TYPE/NAME", help="Only what goes to this resource"),
    click.option("--to-namespace", default="", help="Namespace of --to [default: as -n]"),
    click.option("--max-rps", type=click.IntRange(1, 1000), default=MAX_RPS, show_default=True,
                 help="The most requests that each pod tells in a second"),
    click.option("--scheme", default="", help="Only requests of this scheme"),
    click.option("--method", default="", help="Only requests of this method"),
    click.option("--authority", default="", help="Only requests to this authority, as the client wrote it"),
    click.option("--path", default="", help="Only requests whose path begins like this"),
    click.option("--for", "seconds", callback=_seconds, metavar="DURATION", help="End after this time"),
)  # fmt: skip


def shared(command: Any) -> Any:
    """The flags of both."""
    for option in reversed(SHARED):
        command = option(command)
    return command


@click.command(epilog=TAP_EPILOG)
@shared
@click.option("--limit", type=click.IntRange(0), default=0, help="End after so many requests")
@click.option("-o", "--output", type=click.Choice(["wide", "json"]), default=None, help="With resources; as JSON lines")
def tap(*, cluster: Cluster, resources: tuple[str, ...], output: str | None, limit: int, **flags: Any) -> None:
    """Show requests to and from a workload's pods, each when it has ended. Runs until Ctrl-C."""
    found = _prepare(cluster, resources, flags)
    numbers: dict[str, int] = {}

    def show(pod: Target, request: Request) -> None:
        counted = numbers[pod.uid] = numbers.get(pod.uid, -1) + 1
        number = f"{list(numbers).index(pod.uid)}:{counted}"
        if output == "json":
            click.echo(json.dumps(as_object(number, pod, request, found.names)))
        else:
            click.echo(lines(number, request, found.names if output else None))

    _run(cluster, found, flags, show, limit=limit)


@click.command(epilog=TOP_EPILOG)
@shared
@click.option("--by-path/--all-paths", "by_path", default=True, help="A row for each path [default], or for all")
def top(*, cluster: Cluster, resources: tuple[str, ...], by_path: bool, **flags: Any) -> None:
    """Show which requests are most frequent, live, until Ctrl-C. Where there is no terminal, show what it came to."""
    found = _prepare(cluster, resources, flags)
    counted = Top(found.names, by_path=by_path)
    live = sys.stdout.isatty()

    def draw() -> None:
        if live:
            click.echo(CLEAR + counted.table(ROWS))

    _run(cluster, found, flags, lambda _, request: counted.add(request), tick=draw)
    click.echo(counted.table(ROWS) if counted.rows else "No requests found.", err=not counted.rows)
    if counted.left_out:
        click.echo(f"{counted.left_out} requests are not shown: there were too many different paths.", err=True)


# --- what both do -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Which pods are asked, what addresses are called, and which requests count."""

    pods: list[Target]
    names: Names
    counts: Callable[[Request], bool]


def _prepare(cluster: Cluster, words: tuple[str, ...], flags: dict[str, Any]) -> Prepared:
    wanted = understood(words)
    for resource in wanted:
        if resource.kind not in WORKLOADS:
            fail(f"{resource} has no proxy of its own: tap a workload, like deploy/web, and narrow it with --to.")
    to = narrowing(flags["to"])
    with connected(cluster) as client:
        here = flags["namespace"] or client.namespace or "default"
        anywhere = flags["all_namespaces"] or any(resource.kind == "namespace" for resource in wanted)
        pods = [target(pod, {}) for pod in client.list(PODS, None if anywhere else here)]
        chosen = [pod for pod in pods if pod.meshed and pod.running and _is_one(pod, wanted, here, anywhere=anywhere)]
        if not chosen:
            for resource in wanted:
                require_existing(client, resource, here)
            fail("No running pod of these has a proxy.", "Look at `linkerd viz list`, and inject the workload.")
        known = names_in(client, pods, here)
        counts = _destination(client, known, to, flags["to_namespace"] or here) if to else lambda _: True
    if len(chosen) > MOST_PODS:
        click.echo(f"{len(chosen)} pods match; the first {MOST_PODS} are asked. Name fewer.", err=True)
    ordered = sorted(chosen, key=lambda pod: (pod.namespace, pod.name))
    return Prepared(pods=ordered[:MOST_PODS], names=known, counts=counts)


def _is_one(pod: Target, wanted: tuple[Resource, ...], namespace: str, *, anywhere: bool) -> bool:
    return any(
        (name := pod.workloads.get(resource.kind)) is not None
        and resource.name in ("", name)
        and (anywhere or pod.namespace == namespace)
        for resource in wanted
    )


def names_in(client: "SyncClient", pods: list[Target], namespace: str) -> Names:
    """Of the whole cluster where that may be read."""
    try:
        pods = [target(pod, {}) for pod in client.list(PODS, None)]
        services: list[Service] = client.list(SERVICES, None)
    except errors.Forbidden:
        services = client.list(SERVICES, namespace)
    return Names.of(pods, services)


def _destination(client: "SyncClient", known: Names, to: Resource, namespace: str) -> Callable[[Request], bool]:
    """Whether a request went to a resource."""
    require_existing(client, to, namespace)
    if to.kind == "service":
        addresses = {
            ip
            for ip, service in known.services.items()
            if service.metadata.namespace == namespace and to.name in ("", service.metadata.name)
        }
        if not addresses:
            fail(f"{to} in namespace {namespace} has no address of its own: name the workload behind it.")
        return lambda request: not request.inbound and host(request.called) in addresses
    if to.kind not in WORKLOADS:
        fail(f"--to {to}: name a service or a workload.")
    pods = {
        ip
        for ip, pod in known.pods.items()
        if to.name in ("", pod.workloads.get(to.kind, "\0")) and (to.kind == "namespace" or pod.namespace == namespace)
    }
    return lambda request: not request.inbound and host(request.destination) in pods


def _run(
    cluster: Cluster,
    found: Prepared,
    flags: dict[str, Any],
    show: Callable[[Target, Request], None],
    *,
    limit: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> None:
    words = [f"--max-rps={flags['max_rps']}"]
    words += [f"--{name}={flags[name]}" for name in ("scheme", "method", "authority", "path") if flags[name]]
    feeds = Feeds(cluster, found.pods, words)
    heard: set[str] = set()
    busy: set[str] = set()

    def hand_on(event: Event) -> bool:
        pod, request = event
        if request.listening:
            heard.add(pod.uid)
            if len(heard) == len(found.pods):
                click.echo(f"Listening to {len(heard)} pod{'s' if len(heard) > 1 else ''}.", err=True)
        elif request.skipping:
            if pod.uid not in busy:
                busy.add(pod.uid)
                click.echo(
                    f"Pod {pod.name} has more than {flags['max_rps']} requests a second: some are left out.", err=True
                )
        elif found.counts(request):
            show(pod, request)
            return True
        return False

    try:
        asyncio.run(follow(feeds, hand_on, limit=limit, seconds=flags["seconds"], tick=tick))
    except KeyboardInterrupt:
        return
    for problem in feeds.problems:
        click.echo(problem, err=True)
    if len(feeds.problems) == len(found.pods):
        fail("No pod could be tapped.", "Its proxy may be older than this command; restart the workload.")
