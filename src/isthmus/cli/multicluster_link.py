"""`linkerd multicluster link`: prints what another cluster needs to reach this one."""

import base64
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import yaml

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.multicluster_target import Target, inspect, parts
from isthmus.cli.options import Cluster, cluster_options
from isthmus.install.render import render
from isthmus.kube import durations
from isthmus.kube.kinds import Object
from isthmus.multicluster import tokens

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
"""A cluster's name ends up in the names of Services."""

F = TypeVar("F", bound=Callable[..., Any])


def _cluster_name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value):
        raise click.BadParameter(
            f'"{value}" cannot be part of a Service name: use up to 52 lower-case letters, digits and dashes'
        )
    return value


def _lifetime(_: click.Context, __: click.Parameter, value: str) -> int:
    try:
        seconds = int(durations.parse(value).total_seconds())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds < tokens.SHORTEST_LIFE:
        raise click.BadParameter(f"{value} is too short: Kubernetes makes no tokens for less than 10m")
    return seconds


def _options(command: F) -> F:
    """The flags of `link` and `link-gen`, which print the same."""
    flags = (
        click.option("--cluster-name", required=True, callback=_cluster_name, help="Name of this cluster in others"),
        click.option("--namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True),
        click.option("--api-server-address", help="Where others reach this API server [default: from the kubeconfig]"),
        click.option("--service-account-name", default=names.REMOTE_ACCESS_ACCOUNT, show_default=True),
        click.option(
            "--credentials-lifetime",
            metavar="DURATION",
            default=f"{tokens.DEFAULT_LIFE // 3600}h",
            show_default=True,
            callback=_lifetime,
            help="How long the credentials live; the linking cluster renews them before",
        ),
        click.option("--gateway-name", default=names.GATEWAY, show_default=True),
        click.option("--gateway-namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True),
        click.option(
            "--gateway-addresses",
            "--gateway-address",
            "gateway_addresses",
            help="Comma-separated hosts, optionally with :port [default: the Service's load balancer]",
        ),
        click.option("--gateway-port", type=click.IntRange(1, 65535), help="[default: from the Service]"),
        click.option(
            "-l", "--selector", default=f"{names.EXPORTED}=true", show_default=True, help="Services to mirror"
        ),
        click.option("--excluded-labels", default="", help="Labels that mirrors do not copy: exact, or prefix/*"),
        click.option("--excluded-annotations", default="", help="The same for annotations"),
        click.option(
            "--gateway",
            type=bool,
            default=True,
            is_flag=False,
            flag_value=True,
            show_default=True,
            help="Whether there is a gateway",
        ),
        click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format"),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


EPILOG: Final = """
\b
Examples:
  linkerd --context east multicluster link --cluster-name east | kubectl --context west apply -f -
  linkerd multicluster link --cluster-name east --gateway-address=203.0.113.7:30443 > link-east.yaml
"""


@click.command(epilog=EPILOG, short_help="Print what another cluster needs to reach this one")
@cluster_options
@_options
def link(*, cluster: Cluster, **options: Any) -> None:
    """Print the credentials and the Link that another cluster needs to reach this one.

    The output holds a secret: apply it to the other cluster and delete it.
    """
    _print(cluster, **options)


@click.command("link-gen", epilog=EPILOG)
@cluster_options
@_options
def link_gen(*, cluster: Cluster, **options: Any) -> None:
    """The same as `link`."""
    _print(cluster, **options)


def _print(
    cluster: Cluster,
    *,
    output: Any,
    selector: str,
    excluded_labels: str,
    excluded_annotations: str,
    **options: Any,
) -> None:
    chosen = parse_selector(selector)
    with connected(cluster) as client:
        target = inspect(client, cluster, **options)
    excluded = {"excludedLabels": parts(excluded_labels), "excludedAnnotations": parts(excluded_annotations)}
    click.echo(render(objects(target, selector=chosen, excluded=excluded), output), nl=False)


# --- what is printed ----------------------------------------------------------------------------------------------
def parse_selector(text: str) -> dict[str, Any]:
    """A label selector as kubectl writes them: `a=b,c!=d,e,!f,g in (h,i)`."""
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for part in re.split(r",(?![^(]*\))", text):
        term = part.strip()
        if found := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", term):
            operator = "In" if found[2] == "in" else "NotIn"
            expressions.append({"key": found[1], "operator": operator, "values": parts(found[3])})
        elif found := re.fullmatch(r"([^\s!=]+)\s*!=\s*(\S*)", term):
            expressions.append({"key": found[1], "operator": "NotIn", "values": [found[2]]})
        elif found := re.fullmatch(r"([^\s!=]+)\s*==?\s*([^\s=]*)", term):
            labels[found[1]] = found[2]
        elif found := re.fullmatch(r"(!?)([^\s!=]+)", term):
            expressions.append({"key": found[2], "operator": "DoesNotExist" if found[1] else "Exists"})
        else:
            raise click.BadParameter(f'"{text}" is not a label selector', param_hint="--selector")
    made: dict[str, Any] = {}
    if labels:
        made["matchLabels"] = labels
    if expressions:
        made["matchExpressions"] = expressions
    return made


def objects(target: Target, *, selector: dict[str, Any], excluded: dict[str, list[str]]) -> list[Object]:
    """The credentials, and the Link that names them."""
    kubeconfig = base64.b64encode(credentials(target).encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": names.CREDENTIALS_SECRET_TYPE,
        "metadata": {"name": f"{names.CREDENTIALS_SECRET_PREFIX}{target.name}", "namespace": target.namespace},
        "data": {names.CREDENTIALS_KEY: kubeconfig},
    }
    return [secret, _link(target, selector, excluded)]


def _link(target: Target, selector: dict[str, Any], excluded: dict[str, list[str]]) -> Object:
    exported, federated = names.EXPORTED, f"{names.MIRROR_PREFIX}/federated"
    return {
        "apiVersion": f"{names.LINK_GROUP}/{names.LINK_VERSION}",
        "kind": "Link",
        "metadata": {
            "name": f"{names.LINK_NAME_PREFIX}{target.name}",
            "namespace": target.namespace,
            "annotations": {names.CREATED_BY_ANNOTATION: f"linkerd/cli {names.VERSION}"},
        },
        "spec": {
            "targetClusterName": target.name,
            "targetClusterDomain": target.domain,
            "targetClusterLinkerdNamespace": target.linkerd_namespace,
            "clusterCredentialsSecret": f"{names.CREDENTIALS_SECRET_PREFIX}{target.name}",
            "gatewayAddress": target.gateway_addresses,
            "gatewayPort": target.gateway_port,
            "gatewayIdentity": target.gateway_identity,
            "probeSpec": {
                "path": target.probe_path,
                "port": str(names.GATEWAY_PROBE_PORT),
                "period": target.probe_period,
            },
            "selector": selector,
            "remoteDiscoverySelector": {"matchLabels": {exported: "remote-discovery"}},
            "federatedServiceSelector": {"matchLabels": {federated: "member"}},
            "targetTrustDomain": target.trust_domain,
            "targetTrustBundle": target.trust_bundle,
            **{name: patterns for name, patterns in excluded.items() if patterns},
        },
    }


def credentials(target: Target) -> str:
    """A kubeconfig with everything inside."""
    cluster = {"server": target.server}
    if target.authority:
        cluster["certificate-authority-data"] = target.authority
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": target.name, "cluster": cluster}],
        "users": [{"name": target.account, "user": {"token": target.token}}],
        "contexts": [{"name": target.name, "context": {"cluster": target.name, "user": target.account}}],
        "current-context": target.name,
    }
    return yaml.safe_dump(config, sort_keys=False)
