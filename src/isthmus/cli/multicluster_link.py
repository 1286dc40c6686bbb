"""`linkerd multicluster link`: what another cluster needs to reach this one; with two contexts, both at once."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import click

from isthmus import names
from isthmus.cli import multicluster_pair
from isthmus.cli.connection import connected
from isthmus.cli.multicluster_objects import SELECTORS, Choice, chosen, objects
from isthmus.cli.multicluster_target import Place, inspect, token
from isthmus.cli.options import Cluster, cluster_options
from isthmus.install.render import render
from isthmus.kube import durations
from isthmus.multicluster import tokens

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
"""A cluster's name ends up in the names of Services."""
WITHOUT_EFFECT: Final = (
    "control_plane_version",
    "service_mirror_retry_limit",
    "log_level",
    "log_format",
    "registry",
    "ha",
    "set_values",
    "set_string_values",
    "set_file_values",
    "values_files",
)
"""Linkerd's `link` prints a controller for each Link, which these are about. Here one controller serves them all."""

F = TypeVar("F", bound=Callable[..., Any])


def _cluster_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not NAME.fullmatch(value):
        raise click.BadParameter(
            f'"{value}" cannot be part of a Service name: use up to 52 lower-case letters, digits and dashes'
        )
    return value


def _duration(_: click.Context, __: click.Parameter, value: str) -> float:
    try:
        return durations.parse(value).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _lifetime(context: click.Context, parameter: click.Parameter, value: str) -> int:
    seconds = int(_duration(context, parameter, value))
    if seconds < tokens.SHORTEST_LIFE:
        raise click.BadParameter(f"{value} is too short: Kubernetes makes no tokens for less than 10m")
    return seconds


def _place_flags(prefix: str, whose: str) -> tuple[Callable[[F], F], ...]:
    """Where a cluster is reached from the other one."""
    return (
        click.option(
            f"--{prefix}api-server-address", help=f"Where others reach {whose} API server [default: from kubeconfig]"
        ),
        click.option(
            f"--{prefix}gateway-addresses",
            f"--{prefix}gateway-address",
            f"{prefix.replace('-', '_')}gateway_addresses",
            help=f"Comma-separated hosts of {whose} gateway, optionally with :port [default: its load "
            "balancer, also when it moves]",
        ),
        click.option(f"--{prefix}gateway-port", type=click.IntRange(1, 65535), help="[default: from the Service]"),
    )


SHARED_FLAGS: Final = (
    click.option("--namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True, help="Where Links live"),
    click.option(
        "--service-account-name", help=f"Account that others use here [default: {names.REMOTE_ACCESS_ACCOUNT}]"
    ),
    click.option(
        "--credentials-lifetime",
        metavar="DURATION",
        default=f"{tokens.DEFAULT_LIFE // 3600}h",
        show_default=True,
        callback=_lifetime,
        help="How long the credentials live; the linking cluster renews them before",
    ),
    click.option("--gateway-name", default=names.GATEWAY, show_default=True, help="The gateway's Service"),
    click.option(
        "--gateway-namespace", default=names.MULTICLUSTER_NAMESPACE, show_default=True, help="Where the gateway is"
    ),
    *_place_flags("", "this cluster's"),
    click.option("-l", "--selector", help=f"Services to mirror [default: {SELECTORS['selector']}]"),
    click.option(
        "--remote-discovery-selector",
        help=f"Services to reach from pod to pod [default: {SELECTORS['remote_discovery_selector']}]",
    ),
    click.option(
        "--federated-service-selector",
        help=f"Members of federated services [default: {SELECTORS['federated_service_selector']}]",
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
        help="Whether there is a gateway; without one only pod-to-pod and federated services are mirrored",
    ),
)
LINKERDS_FLAGS: Final = (
    click.option("--control-plane-version", hidden=True),
    click.option("--service-mirror-retry-limit", hidden=True),
    click.option("--log-level", hidden=True),
    click.option("--log-format", hidden=True),
    click.option("--registry", hidden=True),
    click.option("--ha", is_flag=True, hidden=True),
    click.option("--set", "set_values", multiple=True, hidden=True),
    click.option("--set-string", "set_string_values", multiple=True, hidden=True),
    click.option("--set-file", "set_file_values", multiple=True, hidden=True),
    click.option("--values", "values_files", multiple=True, hidden=True),
)
NAME_HELP: Final = "Name of this cluster in others"
OUTPUT: Final = click.Choice(["yaml", "json"])


def _flags(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    def added(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return added


LINK_EPILOG: Final = """
\b
Examples:
  linkerd --context east multicluster link --cluster-name east | kubectl --context west apply -f -
  linkerd multicluster link --cluster-name east --gateway-address=203.0.113.7:30443 > link-east.yaml
  linkerd multicluster link --context=west --to-context=east
"""
GEN_EPILOG: Final = """
\b
Examples:
  linkerd --context east multicluster link-gen --cluster-name east | kubectl --context west apply -f -
"""


@click.command(epilog=LINK_EPILOG, short_help="Print what another cluster needs to reach this one, or link two")
@cluster_options
@click.option("--cluster-name", callback=_cluster_name, help=f"{NAME_HELP} [with --to-context: the context's name]")
@click.option("--to-context", metavar="NAME", help="Link this cluster and the one of that context, both ways, now")
@click.option(
    "--to-cluster-name", callback=_cluster_name, help="Name of the other cluster [default: the context's name]"
)
@_flags(*_place_flags("to-", "the other cluster's"))
@_flags(*SHARED_FLAGS)
@click.option("--dry-run", is_flag=True, help="With --to-context: print what would be applied, without credentials")
@click.option(
    "--wait",
    metavar="DURATION",
    default="2m",
    show_default=True,
    callback=_duration,
    help="With --to-context: how long both Links may take until they are ready; 0s does not wait",
)
@_flags(*LINKERDS_FLAGS)
@click.option("-o", "--output", type=OUTPUT, help="Output format; with --to-context the same as --dry-run")
def link(
    *,
    cluster: Cluster,
    cluster_name: str | None,
    to_context: str | None,
    to_cluster_name: str | None,
    to_api_server_address: str | None,
    to_gateway_addresses: str | None,
    to_gateway_port: int | None,
    dry_run: bool,
    wait: float,
    output: Any,
    **options: Any,
) -> None:
    """Print the credentials and the Link that another cluster needs to reach this one.

    The output holds a secret: apply it to the other cluster and delete it. The credentials expire; the other cluster
    renews them by itself. Applying a new output replaces them at once.

    With --to-context nothing is printed: the two clusters are linked to each other, both ways, and the command waits
    until both Links are ready. Each gets an account of its own in the other, which can be revoked alone. Running it
    again does no harm.
    """
    _tell_what_has_no_effect(options)
    _refuse_contradictions(options)
    if to_context is None:
        _refuse_without_pair(dry_run, to_cluster_name, to_api_server_address, to_gateway_addresses, to_gateway_port)
        if cluster_name is None:
            raise click.UsageError("Missing option '--cluster-name': how others shall call this cluster.")
        _print(cluster, cluster_name, output=output or "yaml", **options)
        return
    here = _place(options, cluster_name)
    there = replace(
        here,
        name=to_cluster_name or "",
        api_server_address=to_api_server_address,
        gateway_addresses=to_gateway_addresses,
        gateway_port=to_gateway_port,
    )
    multicluster_pair.link_both(
        (cluster, here),
        (replace(cluster, context=to_context), there),
        _choice(options),
        life=options["credentials_lifetime"],
        wait=wait,
        output=output or ("yaml" if dry_run else None),
    )


@click.command("link-gen", epilog=GEN_EPILOG)
@cluster_options
@click.option("--cluster-name", required=True, callback=_cluster_name, help=NAME_HELP)
@_flags(*SHARED_FLAGS)
@click.option("-o", "--output", type=OUTPUT, default="yaml", help="Output format")
def link_gen(*, cluster: Cluster, cluster_name: str, output: Any, **options: Any) -> None:
    """Print what `link` prints: credentials and Link, to be applied to the cluster that is to call this one."""
    _refuse_contradictions(options)
    _print(cluster, cluster_name, output=output, **options)


def _print(cluster: Cluster, name: str, *, output: Any, **options: Any) -> None:
    choice, place = _choice(options), _place(options, name)
    with connected(cluster) as client:
        target = inspect(client, cluster, place)
        made = token(client, cluster, target.account, target.namespace, life=options["credentials_lifetime"])
    click.echo(render(objects(replace(target, token=made), choice), output), nl=False)


def _place(options: dict[str, Any], name: str | None) -> Place:
    return Place(
        name=name or "",
        namespace=options["namespace"],
        account=options["service_account_name"] or "",
        api_server_address=options["api_server_address"],
        gateway=options["gateway"],
        gateway_name=options["gateway_name"],
        gateway_namespace=options["gateway_namespace"],
        gateway_addresses=options["gateway_addresses"],
        gateway_port=options["gateway_port"],
    )


def _choice(options: dict[str, Any]) -> Choice:
    picked = {name: options[name] for name in (*SELECTORS, "excluded_labels", "excluded_annotations")}
    if not options["gateway"]:
        # Without a gateway nothing is mirrored through one, whatever it is labelled.
        picked["selector"] = ""
    return chosen(**picked)


def _tell_what_has_no_effect(options: dict[str, Any]) -> None:
    given = [name for name in WITHOUT_EFFECT if options.pop(name, None)]
    for name in given:
        flag = "--" + name.removesuffix("_values").removesuffix("_files").replace("_", "-")
        click.echo(f"note: {flag} has no effect: one controller serves all Links; see multicluster install", err=True)


def _refuse_contradictions(options: dict[str, Any]) -> None:
    if options["gateway"]:
        return
    for name in ("selector", "gateway_addresses", "gateway_port"):
        if options[name] is not None:
            raise click.UsageError(
                f"--{name.replace('_', '-')} says how to use a gateway, and --gateway=false says no."
            )


def _refuse_without_pair(dry_run: bool, *others: Any) -> None:
    if dry_run:
        raise click.UsageError("--dry-run goes with --to-context: without it nothing is applied, only printed.")
    if any(other is not None for other in others):
        raise click.UsageError("Flags that begin with --to- go with --to-context.")
