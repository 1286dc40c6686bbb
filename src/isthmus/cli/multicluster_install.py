"""`linkerd multicluster install`: prints the manifests of the extension."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import yaml

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.setting import SETTING, full_values, given_values
from isthmus.install import schema
from isthmus.install.multicluster import manifests
from isthmus.install.multicluster_values import HIGH_AVAILABILITY, SERVICE_TYPES, MulticlusterValues
from isthmus.install.render import render
from isthmus.kube import durations, errors
from isthmus.kube.kinds import Object, plain

CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
EPILOG: Final = """
\b
Examples:
  linkerd multicluster install | kubectl apply -f -
  linkerd multicluster install --gateway-service-type NodePort --set gateway.nodePort=30443 | kubectl apply -f -
  linkerd multicluster install --ha --set gateway.serviceExternalTrafficPolicy=Local | kubectl apply -f -
"""
AS_THE_CONTROL_PLANE: Final = (
    "identityTrustDomain",
    "clusterDomain",
    "registry",
    "imagePullPolicy",
    "imagePullSecrets",
)
"""Values that are taken over from the control plane of the cluster."""
NOTHING_TO_DO: Final = {
    "gateway_probe_port": "--gateway-probe-port has no effect: probes go through the gateway's one port.",
    "gateway_healthcheck_nodeport": "--gateway-healthcheck-nodeport has no effect: probes go through the gateway's one "
    "port. For the health check of a load balancer, --set gateway.serviceExternalTrafficPolicy=Local.",
}
PAUSE: Final = 0.5


def _switch(*words: str, **settings: Any) -> Callable[[Any], Any]:
    """A flag that takes true or false, or nothing for true."""
    return click.option(*words, type=bool, default=None, is_flag=False, flag_value=True, **settings)


FLAGS: Final = (
    _switch("--gateway", "gateway__enabled", help="Whether others can link through a gateway [default: true]"),
    click.option(
        "--gateway-port", "gateway__port", type=click.IntRange(1, 65535), help="The gateway's port [default: 4143]"
    ),
    click.option(
        "--gateway-service-type",
        "gateway__serviceType",
        type=click.Choice(SERVICE_TYPES),
        help="How the gateway is reachable from outside [default: LoadBalancer]",
    ),
    click.option(
        "--gateway-probe-seconds",
        "gateway__probe__seconds",
        type=click.IntRange(1, 3600),
        help="How often others look whether the gateway is alive [default: 3]",
    ),
    _switch(
        "--service-mirror-credentials",
        "remoteMirrorServiceAccount",
        help="Whether to make the account that `link` gives to others [default: true]",
    ),
    click.option("--registry", "registry", help="Where the images come from [default: as the control plane]"),
)
"""Flags that are short for `--set`."""


def _wait(_: click.Context, __: click.Parameter, value: str) -> float:
    try:
        return durations.parse(value).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _all(command: Any) -> Any:
    for option in reversed((*FLAGS, *SETTING)):
        command = option(command)
    return command


@click.command(epilog=EPILOG, short_help="Print the manifests of the extension")
@cluster_options
@_all
@click.option("--gateway-probe-port", type=int, hidden=True)
@click.option("--gateway-healthcheck-nodeport", hidden=True)
@click.option("--ha", is_flag=True, help="Three gateways on different nodes, two controllers of which one leads")
@click.option(
    "--wait",
    metavar="DURATION",
    default="0s",
    show_default=True,
    callback=_wait,
    help="How long to wait for the control plane to be installed",
)
@click.option("--ignore-cluster", is_flag=True, help="Do not read the control plane's settings")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format")
def install(
    *,
    cluster: Cluster,
    ha: bool,
    wait: float,
    ignore_cluster: bool,
    output: Any,
    values: tuple[str, ...],
    settings: tuple[str, ...],
    set_string: tuple[str, ...],
    set_file: tuple[str, ...],
    gateway_probe_port: int | None,
    gateway_healthcheck_nodeport: str | None,
    **flags: Any,
) -> None:
    """Print the manifests of the extension, to be piped into `kubectl apply -f -`.

    Values have the names that they have in Linkerd's chart, such as gateway.replicas; one that is none is refused.
    """
    for name, given in (
        ("gateway_probe_port", gateway_probe_port),
        ("gateway_healthcheck_nodeport", gateway_healthcheck_nodeport),
    ):
        if given is not None:
            click.echo(f"note: {NOTHING_TO_DO[name]}", err=True)
    trees = [
        HIGH_AVAILABILITY if ha else {},
        {} if ignore_cluster else _control_plane(cluster, wait),
        _from_flags(flags),
        *given_values(values, settings, set_string, set_file),
    ]
    chosen = full_values(MulticlusterValues, trees)
    made = schema.from_tree(MulticlusterValues, chosen, linkerd_namespace=cluster.linkerd_namespace)
    click.echo(render(manifests(made), output), nl=False)


def _from_flags(flags: Mapping[str, Any]) -> schema.Tree:
    made: schema.Tree = {}
    for name, content in flags.items():
        if content is not None:
            schema.put(made, tuple(name.split("__")), content)
    return made


def _control_plane(cluster: Cluster, wait: float) -> schema.Tree:
    """The values of the control plane that the extension belongs to, as far as they concern it."""
    config = _installed(cluster, wait)
    try:
        found = dict(yaml.safe_load(config["data"]["values"]))
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        fail(
            f"ConfigMap {cluster.linkerd_namespace}/{names.CONFIG_MAP} of {cluster.label} cannot be read.",
            "Run `linkerd install | kubectl apply -f -` again.",
        )
    return {name: found[name] for name in AS_THE_CONTROL_PLANE if found.get(name)}


def _installed(cluster: Cluster, wait: float) -> Object:
    deadline = time.monotonic() + wait
    with connected(cluster) as client:
        while True:
            try:
                return client.get(CONFIG_MAPS, names.CONFIG_MAP, cluster.linkerd_namespace)
            except errors.NotFound:
                if time.monotonic() >= deadline:
                    fail(
                        f"The control plane is not installed in {cluster.label}.",
                        "Run `linkerd install | kubectl apply -f -` first, or use --ignore-cluster.",
                    )
            time.sleep(PAUSE)
