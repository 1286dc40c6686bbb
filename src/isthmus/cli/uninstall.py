"""`linkerd uninstall`: the names of everything that `install` made, for `kubectl delete`."""

from typing import Any, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import NAMESPACES
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.install.controlplane import manifests
from isthmus.install.render import render
from isthmus.install.values import Certificates, InstallValues
from isthmus.kube import errors

EPILOG: Final = """
\b
Examples:
  linkerd uninstall | kubectl delete -f -
  linkerd uninstall --context west | kubectl --context west delete -f -
"""
NO_CERTIFICATES: Final = Certificates(
    trust_domain="",
    trust_anchors="",
    issuer_certificate="",
    issuer_key="",
    webhook_ca="",
    webhook_certificate="",
    webhook_key="",
)


@click.command(epilog=EPILOG)
@cluster_options
@click.option("--force", is_flag=True, help="Also while the multi-cluster extension is installed")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format")
def uninstall(*, cluster: Cluster, force: bool, output: Any) -> None:
    """Print the objects of the control plane, to be piped into `kubectl delete -f -`.

    Meshed pods keep running with the proxy they have until they are restarted.
    """
    if not force and _extension_installed(cluster):
        fail(
            "The multi-cluster extension is still installed; its gateway cannot work without a control plane.",
            "Run `linkerd multicluster uninstall | kubectl delete -f -` first, or give --force.",
        )
    objects = [
        {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": _identity(item["metadata"])}
        for item in manifests(InstallValues(certificates=NO_CERTIFICATES))
    ]
    click.echo(render(reversed(objects), output), nl=False)


def _identity(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in ("name", "namespace") if key in metadata}


def _extension_installed(cluster: Cluster) -> bool:
    with connected(cluster) as client:
        try:
            client.get(NAMESPACES, names.MULTICLUSTER_NAMESPACE)
        except errors.NotFound:
            return False
        return True
