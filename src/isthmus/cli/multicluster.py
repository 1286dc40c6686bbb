"""`linkerd multicluster`: install the extension, link clusters, and see how the links are."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.multicluster_check import check
from isthmus.cli.multicluster_link import link, link_gen
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.install import multicluster as extension
from isthmus.install.multicluster import MulticlusterValues, manifests
from isthmus.install.render import render
from isthmus.kube import errors
from isthmus.kube.kinds import Object, plain
from isthmus.multicluster.objects import LINKS

if TYPE_CHECKING:
    from isthmus.kube.client import SyncClient

EPILOG: Final = """
\b
In the order of work, for two clusters whose contexts are east and west:

\b
1. In each, after `linkerd install`, the extension: a gateway and a controller.
  linkerd --context east multicluster install | kubectl --context east apply -f -
  linkerd --context west multicluster install | kubectl --context west apply -f -
  linkerd --context east multicluster check
  linkerd --context west multicluster check

\b
2. Link west to east: what east prints is applied to west. (Both ways at once: `link --help`, --to-context.)
  linkerd --context east multicluster link --cluster-name east | kubectl --context west apply -f -

\b
3. Export a service of east. It appears in west, in the same namespace, as web-east.
  kubectl --context east annotate service web mirror.linkerd.io/exported=true

\b
4. See that it works. A pod with a proxy (`linkerd inject --help`) in west calls http://web-east.
  linkerd --context west multicluster check
  linkerd --context west multicluster gateways
  kubectl --context west get services web-east

\b
5. When something is wrong: `check` names it; so does the Link.
  kubectl --context west describe link linkerd-east --namespace linkerd-multicluster

\b
6. End the link. The services it made go with it.
  linkerd --context west multicluster unlink --cluster-name east | kubectl --context west delete -f -

\b
7. Remove the extension.
  linkerd --context west multicluster uninstall | kubectl --context west delete -f -

\b
Examples of each, and its flags: `linkerd multicluster COMMAND --help`.
"""
CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
FORMAT: Final = click.Choice(["yaml", "json"])


def examples(*lines: str) -> str:
    """The end of a help text."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(epilog=EPILOG)
def multicluster() -> None:
    """Link clusters, so that services of one are reachable from the other."""


multicluster.add_command(link)
multicluster.add_command(link_gen)
multicluster.add_command(check)


@multicluster.command(
    short_help="Print the manifests of the extension",
    epilog=examples(
        "linkerd multicluster install | kubectl apply -f -",
        "linkerd multicluster install --gateway-service-type NodePort --ha | kubectl apply -f -",
    ),
)
@cluster_options
@click.option(
    "--gateway",
    type=bool,
    default=True,
    is_flag=False,
    flag_value=True,
    show_default=True,
    help="Whether others can link to this cluster through a gateway",
)
@click.option("--gateway-port", type=click.IntRange(1, 65535), default=names.GATEWAY_PORT, show_default=True)
@click.option("--gateway-probe-seconds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--gateway-probe-port", type=click.IntRange(1, 65535), default=names.GATEWAY_PROBE_PORT, hidden=True)
@click.option(
    "--gateway-service-type",
    type=click.Choice(["LoadBalancer", "NodePort", "ClusterIP"]),
    default="LoadBalancer",
    show_default=True,
    help="How the gateway is reachable from outside",
)
@click.option("--ha", is_flag=True, help="Three gateways on different nodes")
@click.option("--registry", help="Where the images come from [default: as the control plane]")
@click.option("--ignore-cluster", is_flag=True, help="Do not read the control plane's settings")
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def install(
    *,
    cluster: Cluster,
    ha: bool,
    registry: str | None,
    ignore_cluster: bool,
    output: Any,
    **values: Any,
) -> None:
    """Print the manifests of the extension, to be piped into `kubectl apply -f -`."""
    settings = {"identityTrustDomain": "cluster.local"} if ignore_cluster else _control_plane(cluster)
    made = MulticlusterValues(
        trust_domain=str(settings.get("identityTrustDomain") or "cluster.local"),
        cluster_domain=str(settings.get("clusterDomain") or "cluster.local"),
        linkerd_namespace=cluster.linkerd_namespace,
        registry=registry or str(settings.get("registry") or names.DEFAULT_REGISTRY),
        image_pull_policy=str(settings.get("imagePullPolicy") or "IfNotPresent"),
        gateway_replicas=3 if ha else 1,
        **values,
    )
    click.echo(render(manifests(made), output), nl=False)


def _control_plane(cluster: Cluster) -> dict[str, Any]:
    """The values of the control plane that the extension belongs to."""
    with connected(cluster) as client:
        try:
            config = client.get(CONFIG_MAPS, names.CONFIG_MAP, cluster.linkerd_namespace)
        except errors.NotFound:
            fail(
                f"The control plane is not installed in {cluster.label}.",
                "Run `linkerd install | kubectl apply -f -` first, or use --ignore-cluster.",
            )
    try:
        return dict(yaml.safe_load(config["data"]["values"]))
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        fail(
            f"ConfigMap {cluster.linkerd_namespace}/{names.CONFIG_MAP} of {cluster.label} cannot be read.",
            "Run `linkerd install | kubectl apply -f -` again.",
        )


@multicluster.command(
    short_help="Show the gateways of linked clusters",
    epilog=examples(
        "linkerd --context west multicluster gateways", "linkerd multicluster gateways --cluster-name east -o json"
    ),
)
@cluster_options
@click.option("--cluster-name", help="Only the gateway of this cluster")
@click.option("-w", "--wait", default="30s", hidden=True)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output format")
def gateways(*, cluster: Cluster, cluster_name: str | None, wait: str, output: str) -> None:
    """Show the gateways of linked clusters, as this cluster sees them."""
    with connected(cluster) as client:
        found = [_gateway(item) for item in _links(client, cluster)]
    shown = [row for row in found if cluster_name in (None, row["clusterName"])]
    if output == "json":
        click.echo(json.dumps(shown, indent=2))
        return
    rows = [
        (row["clusterName"], str(row["alive"]), str(row["numberOfServices"]), row["latency"] or "-") for row in shown
    ]
    for line in table(("CLUSTER", "ALIVE", "NUM_SVC", "LATENCY"), rows):
        click.echo(line)


def _links(client: "SyncClient", cluster: Cluster) -> list[Object]:
    try:
        return sorted(client.list(LINKS, names.MULTICLUSTER_NAMESPACE), key=lambda item: item["metadata"]["name"])
    except errors.NotFound:
        fail(
            f"The multicluster extension is not installed in {cluster.label}.",
            "Run `linkerd multicluster install | kubectl apply -f -`.",
        )


def _gateway(item: Object) -> dict[str, Any]:
    status = item.get("status") or {}
    alive = status.get("alive") == "True"
    return {
        "clusterName": item["spec"]["targetClusterName"],
        "alive": alive,
        "numberOfServices": int((status.get("services") or "0/0").partition("/")[0]),
        "latency": (status.get("latency") or "") if alive else "",
    }


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Left-aligned columns, two spaces apart."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]


@multicluster.command(
    short_help="Print another account for linking clusters",
    epilog=examples(
        "linkerd --context east multicluster allow --service-account-name west | kubectl --context east apply -f -"
    ),
)
@cluster_options
@click.option("--service-account-name", required=True, help="The account to make")
@click.option("--namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True)
@click.option("--ignore-cluster", is_flag=True, hidden=True)
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def allow(*, cluster: Cluster, service_account_name: str, namespace: str, ignore_cluster: bool, output: Any) -> None:
    """Print another account for linking clusters, so that each can be revoked alone."""
    made = extension.remote_access(service_account_name, namespace=namespace)
    click.echo(render([extension.namespace(namespace), *made], output), nl=False)


@multicluster.command(
    short_help="Print what to delete to end a link",
    epilog=examples(
        "linkerd --context west multicluster unlink --cluster-name east | kubectl --context west delete -f -"
    ),
)
@cluster_options
@click.option("--cluster-name", required=True, help="The linked cluster")
@click.option("--namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True)
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def unlink(*, cluster: Cluster, cluster_name: str, namespace: str, output: Any) -> None:
    """Print what `link` printed for a cluster, to be piped into `kubectl delete -f -`."""
    with connected(cluster) as client:
        found = [item for item in _links(client, cluster) if item["spec"]["targetClusterName"] == cluster_name]
    if not found:
        fail(
            f"{cluster.label} has no Link to {cluster_name}.",
            "`linkerd multicluster gateways` lists the linked clusters.",
        )
    secret = f"{names.CREDENTIALS_SECRET_PREFIX}{cluster_name}"
    objects: list[Object] = [
        *(_named(LINKS.api_version, "Link", item["metadata"]["name"], namespace) for item in found),
        _named("v1", "Secret", secret, namespace),
    ]
    click.echo(render(objects, output), nl=False)


def _named(api_version: str, kind: str, name: str, namespace: str = "") -> Object:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **where}}


@multicluster.command(
    short_help="Print what to delete to remove the extension",
    epilog=examples(
        "linkerd multicluster uninstall | kubectl delete -f -",
    ),
)
@cluster_options
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def uninstall(*, cluster: Cluster, output: Any) -> None:
    """Print the objects of the extension, to be piped into `kubectl delete -f -`."""
    with connected(cluster) as client:
        linked = [str(item["spec"]["targetClusterName"]) for item in _links(client, cluster)]
    if linked:
        listed = "\n".join(f"  * {name}" for name in linked)
        fail(
            f"Please unlink the following clusters before uninstalling multicluster:\n{listed}",
            f"Run `linkerd multicluster unlink --cluster-name {linked[0]} | kubectl delete -f -`.",
        )
    shared = {"CustomResourceDefinition"}
    """The control plane watches these kinds as well."""
    objects = [
        _named(item["apiVersion"], item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", ""))
        for item in manifests(MulticlusterValues(trust_domain="cluster.local"))
        if item["kind"] not in shared
    ]
    click.echo(render(reversed(objects), output), nl=False)
