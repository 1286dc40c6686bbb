"""`linkerd viz`: install the extension, and see what workloads say to each other."""

from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import CONFIG_MAPS, NAMESPACES, PODS, proxy_of
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.setting import SETTING, full_values, given_values
from isthmus.cli.tables import table
from isthmus.cli.viz_check import check
from isthmus.cli.viz_dashboard import dashboard
from isthmus.cli.viz_edges import edges
from isthmus.cli.viz_objects import bare, left_over, present
from isthmus.cli.viz_routes import stat_inbound, stat_outbound
from isthmus.cli.viz_stat import stat
from isthmus.cli.viz_tap import tap, top
from isthmus.cli.viz_unserved import commands
from isthmus.install import schema
from isthmus.install.render import render
from isthmus.install.viz import manifests
from isthmus.install.viz_values import VizValues
from isthmus.kube import errors

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

EPILOG: Final = """
\b
Examples:
  linkerd viz install | kubectl apply -f -
  linkerd viz stat deploy
  linkerd viz stat deploy/frontend --to svc/backend-cluster-east
  linkerd viz edges deploy
"""
FORMAT: Final = click.Choice(["yaml", "json"])


def _setting(command: Any) -> Any:
    for option in reversed(SETTING):
        command = option(command)
    return command


@click.group(epilog=EPILOG)
def viz() -> None:
    """See what workloads say to each other, within a cluster and across clusters."""


viz.add_command(check)
viz.add_command(dashboard)
viz.add_command(edges)
viz.add_command(stat)
viz.add_command(stat_inbound)
viz.add_command(stat_outbound)
viz.add_command(tap)
viz.add_command(top)


@viz.command(
    short_help="Print the manifests of the extension",
    epilog="\b\nExamples:\n"
    "  linkerd viz install | kubectl apply -f -\n"
    "  linkerd viz install --set prometheusUrl=http://prometheus.monitoring:9090 | kubectl apply -f -\n"
    "  linkerd viz install --set prometheus.enabled=false | kubectl apply -f -",
)
@cluster_options
@_setting
@click.option("--registry", help="Where the images come from [default: as the control plane]")
@click.option("--ignore-cluster", is_flag=True, help="Do not read the control plane's settings")
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def install(*, cluster: Cluster, registry: str | None, ignore_cluster: bool, output: Any, **given: Any) -> None:
    """Print the manifests of the extension, to be piped into `kubectl apply -f -`.

    Values have the names that they have in the chart, such as prometheus.retention; one that is none is refused.
    """
    inherited = {} if ignore_cluster else _control_plane(cluster)
    chosen = _values(inherited, {"registry": registry} if registry else {}, *given_values(**given))
    click.echo(render(manifests(chosen), output), nl=False)


def _values(*trees: schema.Tree) -> VizValues:
    return schema.from_tree(VizValues, full_values(VizValues, trees))


def _control_plane(cluster: Cluster) -> schema.Tree:
    """Where images come from and how they are pulled, as the control plane does it."""
    with connected(cluster) as client:
        try:
            config = client.get(CONFIG_MAPS, names.CONFIG_MAP, cluster.linkerd_namespace)
            values = yaml.safe_load(config["data"]["values"])
            registry, policy = values.get("registry"), values.get("imagePullPolicy")
        except errors.NotFound:
            fail(
                f"The control plane is not installed in {cluster.label}.",
                "Run `linkerd install | kubectl apply -f -` first, or use --ignore-cluster.",
            )
        except (KeyError, TypeError, AttributeError, yaml.YAMLError):
            fail(
                f"ConfigMap {cluster.linkerd_namespace}/{names.CONFIG_MAP} of {cluster.label} cannot be read.",
                "Run `linkerd install | kubectl apply -f -` again.",
            )
        linkable = _has_multicluster(client)
    found = {"registry": registry, "imagePullPolicy": policy}
    return {key: str(value) for key, value in found.items() if value} | {"multicluster": {"enabled": linkable}}


def _has_multicluster(client: "SyncClient") -> bool:
    """Whether there is a namespace for the permission to read the credentials of Links."""
    try:
        client.get(NAMESPACES, names.MULTICLUSTER_NAMESPACE)
    except errors.NotFound:
        return False
    return True


@viz.command(
    short_help="Print what to delete to remove the extension",
    epilog="\b\nExamples:\n  linkerd viz uninstall | kubectl delete -f -",
)
@cluster_options
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def uninstall(*, cluster: Cluster, output: Any) -> None:
    """Print the objects of the extension, to be piped into `kubectl delete --ignore-not-found -f -`."""
    click.echo(render(reversed([bare(item) for item in _installed(cluster)]), output), nl=False)


@viz.command(
    short_help="Print what earlier installations left over",
    epilog="\b\nExamples:\n  linkerd viz prune | kubectl delete -f -\n"
    "  linkerd viz prune --set prometheus.enabled=false | kubectl delete -f -",
)
@cluster_options
@_setting
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def prune(*, cluster: Cluster, output: Any, **given: Any) -> None:
    """Print the objects of the extension that `viz install` with these values would not make."""
    values = _values(*given_values(**given))
    with connected(cluster) as client:
        there = present(client)
    if not there:
        fail(f"The viz extension is not installed in {cluster.label}.")
    if found := left_over(there, values):
        click.echo(render(reversed([bare(item) for item in found]), output), nl=False)
    else:
        click.echo("Nothing is left over.", err=True)


def _installed(cluster: Cluster) -> list[dict[str, Any]]:
    """What an install makes, as far as it is there: whoever installed without Prometheus has none to delete."""
    from isthmus.cli.viz_ask import kind_of_manifest

    found = []
    with connected(cluster) as client:
        for item in manifests(VizValues()):
            try:
                client.get(kind_of_manifest(item), item["metadata"]["name"], item["metadata"].get("namespace"))
            except errors.NotFound:
                continue
            found.append(item)
    if not found:
        fail(f"The viz extension is not installed in {cluster.label}.")
    return found


@viz.command(
    "list",
    short_help="List the pods whose numbers are known",
    epilog="\b\nExamples:\n  linkerd viz list\n  linkerd viz list --namespace default",
)
@cluster_options
@click.option("-n", "--namespace", help="Only this namespace [default: all]")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, as without -n")
def list_(*, cluster: Cluster, namespace: str | None, all_namespaces: bool) -> None:
    """List the meshed pods: those whose proxies are read."""
    with connected(cluster) as client:
        chosen = None if all_namespaces else namespace
        pods = client.list(PODS, chosen, labels=f"{names.CONTROL_PLANE_NS_LABEL}={cluster.linkerd_namespace}")
    meshed = [
        pod["metadata"]
        for pod in pods
        if proxy_of(pod) and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    ]
    if not meshed:
        click.echo("No meshed pods found.", err=True)
        return
    click.echo(table(("NAMESPACE", "NAME"), sorted((each["namespace"], each["name"]) for each in meshed)))


for _unserved in commands():
    viz.add_command(_unserved)
