"""`linkerd install`: prints the control plane's manifests."""

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.install import crds
from isthmus.install.controlplane import manifests
from isthmus.install.render import render
from isthmus.install.values import DEFAULT_CLUSTER_NETWORKS, Certificates, InstallValues
from isthmus.kube import errors
from isthmus.kube.kinds import plain

if TYPE_CHECKING:
    from isthmus.kube.client import SyncClient

EPILOG: Final = """
\b
Examples:
  linkerd install | kubectl apply -f -
  linkerd install --context west --identity-trust-domain west.example.com | kubectl --context west apply -f -
"""
CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
SECRETS: Final = plain("v1", "Secret", "secrets")
DURATION: Final = re.compile(r"^([0-9]+(\.[0-9]+)?(s|m|h))+$")
DOMAIN: Final = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")


def _duration(_: click.Context, __: click.Parameter, value: str) -> str:
    if not DURATION.match(value):
        raise click.BadParameter(f'"{value}" is not a duration; write it like 24h or 90s')
    return value


def _domain(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not DOMAIN.match(value):
        raise click.BadParameter(f'"{value}" is not a DNS name in lower case')
    return value


@click.command(epilog=EPILOG)
@cluster_options
@click.option("--crds", "crds_only", is_flag=True, help="Print only the custom resource definitions")
@click.option(
    "--cluster-domain", default="cluster.local", show_default=True, callback=_domain, help="The cluster's DNS domain"
)
@click.option(
    "--cluster-networks",
    default=",".join(DEFAULT_CLUSTER_NETWORKS),
    show_default=True,
    help="CIDRs looked up in the mesh; other destinations pass through",
)
@click.option(
    "--identity-trust-domain", callback=_domain, help="SPIFFE trust domain [default: derived from the root's key]"
)
@click.option("--identity-trust-anchors-file", type=click.Path(), help="PEM file of the roots to trust")
@click.option("--identity-issuer-certificate-file", type=click.Path(), help="PEM file of the issuer's certificate")
@click.option("--identity-issuer-key-file", type=click.Path(), help="PEM file of the issuer's key")
@click.option(
    "--identity-issuance-lifetime", default="24h", show_default=True, callback=_duration, help="Life of a leaf"
)
@click.option(
    "--identity-clock-skew-allowance",
    default="20s",
    show_default=True,
    callback=_duration,
    help="How far clocks may be apart",
)
@click.option("--registry", default=names.DEFAULT_REGISTRY, show_default=True, help="Where the images come from")
@click.option(
    "--image-pull-policy",
    type=click.Choice(["Always", "IfNotPresent", "Never"]),
    default="IfNotPresent",
    show_default=True,
    help="Pull policy of every container",
)
@click.option(
    "--controller-replicas",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Replicas of each control-plane process",
)
@click.option("--controller-log-level", type=click.Choice(["debug", "info", "warn", "error"]), default="info")
@click.option("--proxy-log-level", type=click.Choice(["trace", "debug", "info", "warn", "error"]), default="warn")
@click.option("--ignore-cluster", is_flag=True, help="Do not look at the cluster for an installation to keep")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format")
def install(
    *,
    cluster: Cluster,
    crds_only: bool,
    ignore_cluster: bool,
    output: Any,
    cluster_networks: str,
    identity_trust_domain: str | None,
    identity_trust_anchors_file: str | None,
    identity_issuer_certificate_file: str | None,
    identity_issuer_key_file: str | None,
    identity_issuance_lifetime: str,
    identity_clock_skew_allowance: str,
    cluster_domain: str,
    **values: Any,
) -> None:
    """Print the manifests of the control plane, to be piped into `kubectl apply -f -`.

    Each cluster gets a root of trust of its own. Running it again keeps the root that the cluster has.
    """
    from isthmus.install import certificates  # loads the cryptography library

    if crds_only:
        click.echo(render(crds.control_plane(), output), nl=False)
        return
    files = (identity_trust_anchors_file, identity_issuer_certificate_file, identity_issuer_key_file)
    if any(files):
        material = _given(files, cluster_domain, identity_trust_domain)
    else:
        kept = None if ignore_cluster else _installed(cluster)
        material = kept or certificates.fresh(cluster_domain=cluster_domain, trust_domain=identity_trust_domain)
        if identity_trust_domain and material.trust_domain != identity_trust_domain:
            fail(
                f'{cluster.label} is installed with trust domain "{material.trust_domain}", '
                f'not "{identity_trust_domain}"; changing it breaks every running workload.',
                "Leave --identity-trust-domain out, or uninstall first.",
            )
    made = InstallValues(
        certificates=material,
        cluster_domain=cluster_domain,
        cluster_networks=_networks(cluster_networks),
        issuance_lifetime=identity_issuance_lifetime,
        clock_skew_allowance=identity_clock_skew_allowance,
        **values,
    )
    click.echo(render(manifests(made), output), nl=False)


def _given(files: tuple[str | None, str | None, str | None], domain: str, trust_domain: str | None) -> Certificates:
    from isthmus.install import certificates
    from isthmus.kube import pki

    anchors, issuer, key = (Path(file) if file else None for file in files)
    if not (anchors and issuer and key):
        fail(
            "The roots, the issuer's certificate and its key belong together.",
            "Give --identity-trust-anchors-file, --identity-issuer-certificate-file and --identity-issuer-key-file.",
        )
    try:
        return certificates.given(
            trust_anchors=anchors.read_text(),
            issuer_certificate=issuer.read_text(),
            issuer_key=key.read_text(),
            cluster_domain=domain,
            trust_domain=trust_domain,
        )
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}")
    except (pki.CertificateError, UnicodeDecodeError) as error:
        fail(f"The given certificates cannot be used: {error}")


def _installed(cluster: Cluster) -> Certificates | None:
    """The certificates of the installation that is there, so that applying again changes no identity."""
    with connected(cluster) as client:
        try:
            roots = client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE)["data"]
            issuer = _secret(client, names.IDENTITY_ISSUER_SECRET)
            webhook = _secret(client, names.INJECTOR_TLS_SECRET)
            configuration = client.get(
                plain(
                    "admissionregistration.k8s.io/v1",
                    "MutatingWebhookConfiguration",
                    "mutatingwebhookconfigurations",
                    namespaced=False,
                ),
                names.INJECTOR_WEBHOOK,
            )
            bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
            click.echo(f"keeping the trust root that {cluster.label} has", err=True)
            return Certificates(
                trust_domain=roots[names.TRUST_DOMAIN_KEY],
                trust_anchors=roots[names.TRUST_ROOTS_KEY],
                issuer_certificate=issuer["tls.crt"],
                issuer_key=issuer["tls.key"],
                webhook_ca=base64.b64decode(bundle).decode(),
                webhook_certificate=webhook["tls.crt"],
                webhook_key=webhook["tls.key"],
            )
        except errors.NotFound:
            return None
        except (KeyError, IndexError):
            fail(
                f"{cluster.label} has an installation whose certificates are incomplete.",
                "Look at the ConfigMap linkerd-identity-trust-roots and the Secret linkerd-identity-issuer in "
                "namespace linkerd, or start anew with --ignore-cluster.",
            )


def _secret(client: "SyncClient", name: str) -> dict[str, str]:
    data = client.get(SECRETS, name, names.CONTROL_PLANE_NAMESPACE).get("data", {})
    return {file: base64.b64decode(content).decode() for file, content in data.items()}


def _networks(text: str) -> tuple[str, ...]:
    import ipaddress

    networks = tuple(part.strip() for part in text.split(",") if part.strip())
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise click.BadParameter(f"--cluster-networks: {error}") from None
    return networks
