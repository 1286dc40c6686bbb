"""`linkerd identity`: the certificates that meshed pods present, as their proxies hold them."""

from typing import Any, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import PODS, proxy_of
from isthmus.cli.options import Cluster, cluster_options, fail

EPILOG: Final = """
\b
Examples:
  linkerd identity -n default backend-5d8c7c9b8-x2x7k
  linkerd identity -n default -l app=backend
"""
CERTIFICATE: Final = f"{names.IDENTITY_DIR}/{names.CERTIFICATE_FILE}"


@click.command(epilog=EPILOG)
@cluster_options
@click.argument("pods", nargs=-1, metavar="[POD]...")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the pods")
@click.option("-l", "--selector", metavar="LABELS", help="Pods with these labels")
def identity(*, cluster: Cluster, pods: tuple[str, ...], namespace: str, selector: str | None) -> None:
    """Print the certificates of meshed pods: who they are, who signed, how long they last."""
    if bool(pods) == bool(selector):
        fail("Name one or more pods, or select them with -l.", EPILOG.replace("\b\n", "").strip())
    with connected(cluster) as client:
        found = (
            client.list(PODS, namespace, labels=selector)
            if selector
            else [client.get(PODS, pod, namespace) for pod in pods]
        )
    if not found:
        fail(f"No pod of namespace {namespace} has the labels {selector}.")
    for pod in found:
        _print(cluster, pod)


def _print(cluster: Cluster, pod: dict[str, Any]) -> None:
    """Asks the pod itself: what the proxy serves is what counts."""
    from isthmus.cli.kubectl import exec_in_pod
    from isthmus.kube import pki

    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    click.echo(f"\nPOD {name} ({namespace})\n")
    if proxy_of(pod) is None:
        click.echo("  it has no proxy")
        return
    pem = exec_in_pod(
        cluster, namespace=namespace, pod=name, container=names.PROXY_CONTAINER, command=("cat", CERTIFICATE)
    )
    for certificate in pki.describe(pem):
        for label, value in (
            ("Subject", certificate.subject or "-"),
            ("Issuer", certificate.issuer),
            ("SPIFFE ID", ", ".join(certificate.uris) or "-"),
            ("DNS names", ", ".join(certificate.dns_names) or "-"),
            ("Not before", f"{certificate.not_before:%Y-%m-%d %H:%M:%S} UTC"),
            ("Not after", f"{certificate.not_after:%Y-%m-%d %H:%M:%S} UTC"),
            ("SHA-256", certificate.fingerprint),
        ):
            click.echo(f"  {label + ':':<12}{value}")
        click.echo()
