"""`linkerd multicluster`: install the extension, link clusters, and see how the links are."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from isthmus.cli.multicluster_check import check
from isthmus.cli.multicluster_install import install
from isthmus.cli.multicluster_link import link, link_gen
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.stuck_links import stuck
from isthmus.install import extension
from isthmus.install.multicluster import manifests
from isthmus.install.multicluster_values import MulticlusterValues
from isthmus.install.remote_access import non_expiring_token, remote_access
from isthmus.install.render import render
from isthmus.kube import durations, errors
from isthmus.kube.kinds import DEPLOYMENTS, Kind, Object, plain
from isthmus.multicluster.objects import LINKS

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

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
SERVICE_ACCOUNTS: Final = plain("v1", "ServiceAccount", "serviceaccounts")
ROLES: Final = plain("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDINGS: Final = plain("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
FORMAT: Final = click.Choice(["yaml", "json"])


def examples(*lines: str) -> str:
    """The end of a help text."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _waited(_: click.Context, __: click.Parameter, value: str | None) -> None:
    """Linkerd's flag, for the scrape of a controller; here the answer is in the Links."""
    if value is None:
        return
    try:
        durations.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    click.echo("note: --wait has no effect: what the gateways do is read from the Links, at once", err=True)


@click.group(epilog=EPILOG)
def multicluster() -> None:
    """Link clusters, so that services of one are reachable from the other."""


multicluster.add_command(install)
multicluster.add_command(link)
multicluster.add_command(link_gen)
multicluster.add_command(check)


@multicluster.command(
    short_help="Show the gateways of linked clusters",
    epilog=examples(
        "linkerd --context west multicluster gateways", "linkerd multicluster gateways --cluster-name east -o json"
    ),
)
@cluster_options
@click.option("--cluster-name", help="Only the gateway of this cluster")
@click.option("-w", "--wait", metavar="DURATION", callback=_waited, expose_value=False, hidden=True)
@click.option("-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", help="Output format")
def gateways(*, cluster: Cluster, cluster_name: str | None, output: str) -> None:
    """Show the gateways of linked clusters, as this cluster sees them. A Link without gateway has none to show."""
    with connected(cluster) as client:
        found = [_gateway(item) for item in _links(client, cluster) if item["spec"].get("gatewayAddress")]
    shown = sorted(
        (row for row in found if cluster_name in (None, row["clusterName"])), key=lambda row: str(row["clusterName"])
    )
    if output == "json":
        click.echo(json.dumps(shown, indent=2))
        return
    if not shown:
        click.echo(f"{cluster.label} has no gateway of a linked cluster{_named_so(cluster_name)}.", err=True)
    rows = [
        (
            row["clusterName"],
            str(row["alive"]),
            str(row["numberOfServices"]),
            f"{row['latency']}ms" if row["alive"] else "-",
        )
        for row in shown
    ]
    where = [", ".join(map(_address, row["addresses"])) for row in shown]
    for line, addresses in zip(table(rows), ["ADDRESSES", *where], strict=True):
        click.echo(f"{line}  {addresses}".rstrip() if output == "wide" else line)


def _named_so(cluster_name: str | None) -> str:
    return f" named {cluster_name}" if cluster_name else ""


def _address(each: Mapping[str, Any]) -> str:
    """An address, and what is to be said of it."""
    remarks = [each["name"], "" if each["alive"] == "True" else "silent" if each["alive"] == "False" else "unknown"]
    said = ", ".join(remark for remark in remarks if remark)
    return f"{each['address']} ({said})" if said else str(each["address"])


def _links(client: "SyncClient", cluster: Cluster, namespace: str = names.MULTICLUSTER_NAMESPACE) -> list[Object]:
    try:
        return sorted(client.list(LINKS, namespace), key=lambda item: item["metadata"]["name"])
    except errors.NotFound:
        fail(
            f"The multicluster extension is not installed in {cluster.label}.",
            "Run `linkerd multicluster install | kubectl apply -f -`.",
        )


def _gateway(item: Object) -> dict[str, Any]:
    status = item.get("status") or {}
    alive = status.get("alive") == "True"
    latency = str(status.get("latency") or "").removesuffix("ms")
    return {
        "clusterName": item["spec"]["targetClusterName"],
        "alive": alive,
        "numberOfServices": int((status.get("services") or "0/0").partition("/")[0]),
        "latency": int(latency) if alive and latency.isdecimal() else 0,
        "addresses": [
            {key: str(each.get(key) or "") for key in ("address", "name", "alive", "latency")}
            for each in status.get("gateways") or ()
        ],
    }


def table(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """Exactly Linkerd's columns: names to the left, numbers to the right."""
    names_wide = max([7, *(len(row[0]) for row in rows)])
    return [
        f"{name:<{names_wide}}  {alive:<5}  {services:>9}  {latency:>11}"
        for name, alive, services, latency in [("CLUSTER", "ALIVE", "NUM_SVC", "LATENCY"), *rows]
    ]


@multicluster.command(
    short_help="Print another account for linking clusters",
    epilog=examples(
        "linkerd --context east multicluster allow --service-account-name west | kubectl --context east apply -f -",
        "linkerd --context east multicluster link --cluster-name east --service-account-name west > link-east.yaml",
        "kubectl --context east -n linkerd-multicluster delete serviceaccount west",
    ),
)
@cluster_options
@click.option("--service-account-name", required=True, help="The account to make")
@click.option("--namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True, help="Where the account is made")
@click.option("--trust-domain", default="", help="The only trust domain that may be registered with it [default: any]")
@click.option("--token-secret", is_flag=True, help="Also a Secret with a token that never expires, for other tools")
@click.option("--ignore-cluster", is_flag=True, expose_value=False, hidden=True)
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def allow(
    *,
    cluster: Cluster,
    service_account_name: str,
    namespace: str,
    trust_domain: str,
    token_secret: bool,
    output: Any,
) -> None:
    """Print another account for linking clusters, so that each can be revoked alone.

    To revoke it, delete the ServiceAccount: every token that was made for it ends with it.
    """
    made = remote_access(service_account_name, namespace=namespace, registers=trust_domain)
    if token_secret:
        made.append(non_expiring_token(service_account_name, namespace=namespace))
    click.echo(render([extension.namespace(namespace), *made], output), nl=False)


@multicluster.command(
    short_help="Print what to delete to end a link",
    epilog=examples(
        "linkerd --context west multicluster unlink --cluster-name east | kubectl --context west delete -f -"
    ),
)
@cluster_options
@click.option("--cluster-name", required=True, help="The linked cluster")
@click.option("--namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True, help="Where the Links are")
@click.option("--only-controller", is_flag=True, help="Only the controller that Linkerd before 2.18 made for the link")
@click.option("-o", "--output", type=FORMAT, default="yaml", help="Output format")
def unlink(*, cluster: Cluster, cluster_name: str, namespace: str, only_controller: bool, output: Any) -> None:
    """Print what `link` printed for a cluster, to be piped into `kubectl delete -f -`.

    Mirrors of its services go with the Link.
    """
    with connected(cluster) as client:
        found = [
            item
            for item in _links(client, cluster, namespace)
            if (item.get("spec") or {}).get("targetClusterName") == cluster_name
        ]
        controller = _former_controller(client, cluster_name, namespace)
        if why := stuck(client, namespace):
            click.echo(f"note: {why}.", err=True)
    if only_controller:
        if not controller:
            click.echo(f"note: {cluster.label} has no controller of its own for {cluster_name}", err=True)
        click.echo(render(controller, output), nl=False)
        return
    if not found:
        fail(
            f"{cluster.label} has no Link to {cluster_name}.",
            "`linkerd multicluster gateways` lists the linked clusters.",
        )
    conventional = f"{names.CREDENTIALS_SECRET_PREFIX}{cluster_name}"
    secrets = {str(item["spec"].get("clusterCredentialsSecret") or conventional) for item in found}
    objects: list[Object] = [
        *(_named(LINKS.api_version, "Link", item["metadata"]["name"], namespace) for item in found),
        *(_named("v1", "Secret", secret, namespace) for secret in sorted(secrets)),
        *controller,
    ]
    click.echo(render(objects, output), nl=False)


def _former_controller(client: "SyncClient", cluster_name: str, namespace: str) -> list[Object]:
    """What Linkerd's own `link` used to print for each Link, as far as it is there."""
    mirror = f"linkerd-service-mirror-{cluster_name}"
    local = f"linkerd-service-mirror-access-local-resources-{cluster_name}"
    remote = f"linkerd-service-mirror-read-remote-creds-{cluster_name}"
    candidates = (
        (DEPLOYMENTS, mirror),
        (SERVICE_ACCOUNTS, mirror),
        (CLUSTER_ROLES, local),
        (CLUSTER_ROLE_BINDINGS, local),
        (ROLES, remote),
        (ROLE_BINDINGS, remote),
    )
    return [
        _named(kind.api_version, kind.kind, name, namespace if kind.namespaced else "")
        for kind, name in candidates
        if _exists(client, kind, name, namespace)
    ]


def _exists(client: "SyncClient", kind: Kind[Object], name: str, namespace: str) -> bool:
    try:
        client.get(kind, name, namespace if kind.namespaced else None)
    except errors.NotFound:
        return False
    return True


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
    """Print the objects of the extension that are there, to be piped into `kubectl delete -f -`."""
    with connected(cluster) as client:
        linked = [str(item["spec"]["targetClusterName"]) for item in _links(client, cluster)]
        if linked:
            listed = "\n".join(f"  * {name}" for name in linked)
            if why := stuck(client):
                fail(f"{cluster.label}: {why}.")
            fail(
                f"Please unlink the following clusters before uninstalling multicluster:\n{listed}",
                f"Run `linkerd multicluster unlink --cluster-name {linked[0]} | kubectl delete -f -`.",
            )
        objects = [item for item in _extension() if _there(client, item)]
    click.echo(render(reversed(objects), output), nl=False)


def _extension() -> list[Object]:
    """Everything that `install` can make but the definitions, which the control plane watches as well."""
    return [
        _named(item["apiVersion"], item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", ""))
        for item in manifests(MulticlusterValues(gateway_replicas=3, controller_replicas=2))
        if item["kind"] != "CustomResourceDefinition"
    ]


def _there(client: "SyncClient", item: Object) -> bool:
    kind = client.discover(item["apiVersion"], item["kind"])
    return _exists(client, kind, item["metadata"]["name"], item["metadata"].get("namespace", ""))
