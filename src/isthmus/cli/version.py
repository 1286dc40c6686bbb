"""`linkerd version`."""

import json
from typing import Final

import click
import yaml

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options

EPILOG: Final = """
\b
Examples:
  linkerd version
  linkerd version --client --short
"""


@click.command(epilog=EPILOG)
@cluster_options
@click.option("--client", "client_only", is_flag=True, help="Print only the version of the CLI")
@click.option("--short", is_flag=True, help="Print only the numbers")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Output format")
def version(*, cluster: Cluster, client_only: bool, short: bool, output: str) -> None:
    """Print the versions of the CLI and of the control plane."""
    if output == "json":
        click.echo(json.dumps({"client": names.VERSION} | ({} if client_only else {"server": _server(cluster)})))
        return
    click.echo(names.VERSION if short else f"Client version: {names.VERSION}")
    if not client_only:
        number = _server(cluster)
        click.echo(number if short else f"Server version: {number}")


def _server(cluster: Cluster) -> str:
    from isthmus.kube import errors
    from isthmus.kube.kinds import plain

    with connected(cluster) as client:
        try:
            found = client.get(plain("v1", "ConfigMap", "configmaps"), names.CONFIG_MAP, cluster.linkerd_namespace)
        except errors.NotFound:
            return "unavailable"
        return str((yaml.safe_load(found["data"]["values"]) or {}).get("linkerdVersion", "unavailable"))
