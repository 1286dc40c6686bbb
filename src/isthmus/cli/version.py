"""`linkerd version`."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
import yaml

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options, fail

EPILOG: Final = """
\b
Examples:
  linkerd version
  linkerd version --client --short
  linkerd version --proxy --namespace default
"""


@click.command(epilog=EPILOG)
@cluster_options
@click.option("--client", "client_only", is_flag=True, help="Print only the version of the CLI")
@click.option("--proxy", "proxies", is_flag=True, help="Print the versions of the proxies as well")
@click.option("-n", "--namespace", help="Only the proxies of this namespace [default: all]")
@click.option("--short", is_flag=True, help="Print only the numbers")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Output format")
def version(
    *, cluster: Cluster, client_only: bool, proxies: bool, namespace: str | None, short: bool, output: str
) -> None:
    """Print the versions of the CLI and of the control plane, and with --proxy of the proxies."""
    if namespace and not proxies:
        fail("--namespace says whose proxies to look at.", "Give --proxy as well.")
    found: dict[str, Any] = {"client": names.VERSION}
    if not client_only:
        found["server"] = _server(cluster)
    if proxies:
        found["proxies"] = _proxies(cluster, namespace)
    if output == "json":
        click.echo(json.dumps(found))
        return
    for line in lines(found, short=short):
        click.echo(line)


def lines(found: Mapping[str, Any], *, short: bool) -> Iterator[str]:
    """What is printed of what was found."""
    for key in ("client", "server"):
        if key in found:
            yield found[key] if short else f"{key.capitalize()} version: {found[key]}"
    if "proxies" not in found:
        return
    if short:
        yield from found["proxies"]
        return
    yield "Proxy versions:" if found["proxies"] else "Proxy versions: there are no proxies"
    for number, pods in found["proxies"].items():
        yield f"\t{number} ({pods} pod{'s' * (pods != 1)})"


def _server(cluster: Cluster) -> str:
    from isthmus.kube import errors
    from isthmus.kube.kinds import plain

    with connected(cluster) as client:
        try:
            found = client.get(plain("v1", "ConfigMap", "configmaps"), names.CONFIG_MAP, cluster.linkerd_namespace)
        except errors.NotFound:
            return "unavailable"
        return str((yaml.safe_load(found["data"]["values"]) or {}).get("linkerdVersion", "unavailable"))


def _proxies(cluster: Cluster, namespace: str | None) -> dict[str, int]:
    """How many pods have each version."""
    from isthmus.kube.kinds import plain

    with connected(cluster) as client:
        pods = client.list(plain("v1", "Pod", "pods"), namespace, labels=names.CONTROL_PLANE_NS_LABEL)
    found = Counter(
        str((pod["metadata"].get("annotations") or {}).get(names.PROXY_VERSION_ANNOTATION, "unknown")) for pod in pods
    )
    return dict(sorted(found.items()))
