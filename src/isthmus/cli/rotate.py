"""`linkerd rotate`: prints what a cluster needs to get another root, issuer or webhook certificate while it runs."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli.check import seconds
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import CONFIG_MAPS, SECRETS, WEBHOOKS, ControlPlane
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.install.render import render
from isthmus.kube import errors
from isthmus.kube.kinds import Object

if TYPE_CHECKING:
    from isthmus.identity.rotation import Installed, Material
    from isthmus.kube.blocking import SyncClient

EPILOG: Final = """
\b
Examples:
  linkerd rotate root | kubectl apply -f -        three times, for its three steps
  linkerd rotate issuer --identity-issuer-certificate-file issuer.crt \\
    --identity-issuer-key-file issuer.key | kubectl apply -f -
  linkerd rotate webhook | kubectl apply -f -
"""
LOOK_AGAIN: Final = 1.0
SHOWN: Final = 5

output_option = click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format"
)
certificate_option = click.option(
    "--identity-issuer-certificate-file", type=click.Path(), help="PEM file of the new issuer's certificate"
)
key_option = click.option("--identity-issuer-key-file", type=click.Path(), help="PEM file of the new issuer's key")


@click.group(epilog=EPILOG)
def rotate() -> None:
    """Print the manifests that replace a root, an issuer or the webhook's certificate, without a failed request."""


@rotate.command(epilog=EPILOG)
@cluster_options
@click.option("--identity-trust-anchors-file", type=click.Path(), help="PEM file of the roots to have afterwards")
@certificate_option
@key_option
@click.option("--wait", default="2m", show_default=True, callback=seconds, help="How long to wait until a step is safe")
@click.option("--ignore-linked", is_flag=True, help="Go on although a linked cluster has not accepted the new root")
@output_option
def root(
    *,
    cluster: Cluster,
    identity_trust_anchors_file: str | None,
    identity_issuer_certificate_file: str | None,
    identity_issuer_key_file: str | None,
    wait: float,
    ignore_linked: bool,
    output: Any,
) -> None:
    """Print the next of the three steps by which a cluster gets a new root and a new issuer.

    Each step waits until it is safe, and prints nothing while it is not. Without files, root and issuer are made here;
    the root's key is forgotten. The trust domain stays.
    """
    from isthmus.identity import rotation
    from isthmus.kube import pki

    files = (identity_trust_anchors_file, identity_issuer_certificate_file, identity_issuer_key_file)
    with connected(cluster) as client:
        try:
            installed = _installed(client)
            now = datetime.now(UTC)
            phase = rotation.phase(installed, now)
            if any(files) and phase is not rotation.Phase.SETTLED:
                fail(
                    f"A rotation is under way: its next step is to {rotation.STEPS[phase]}.",
                    "Finish it first: `linkerd rotate root` without files prints the rest.",
                )
            if phase is rotation.Phase.SETTLED:
                new = _given(files) if any(files) else _made(ControlPlane(client))
                printed = rotation.publish(installed, new, now)
            elif phase is rotation.Phase.PUBLISHED:
                installed.next_issuer(now)
                _wait(lambda: _unready_to_switch(cluster, client, installed, ignore_linked=ignore_linked), wait)
                printed = rotation.switch(installed)
            else:
                _wait(lambda: rotation.not_vouched(_holdings(cluster, client), installed.staying), wait)
                printed = rotation.retire(installed)
        except pki.CertificateError as error:
            fail(f"The root of {cluster.label} cannot be rotated: {error}.")
    after = rotation.AFTERWARDS[phase]
    click.echo(f"step {phase.value} of {len(rotation.STEPS)}: {rotation.STEPS[phase]}", err=True)
    click.echo(f"before the next step {after}; run this again for it" if after else "this is the last step", err=True)
    click.echo(render(printed, output), nl=False)


@rotate.command(epilog=EPILOG)
@cluster_options
@certificate_option
@key_option
@output_option
def issuer(
    *,
    cluster: Cluster,
    identity_issuer_certificate_file: str | None,
    identity_issuer_key_file: str | None,
    output: Any,
) -> None:
    """Print the Secret with another issuer of the root that the cluster has. Proxies follow within seconds."""
    from isthmus.identity import rotation
    from isthmus.identity.issuer import load_issuer
    from isthmus.kube import pki

    if not (identity_issuer_certificate_file and identity_issuer_key_file):
        fail(
            "Give --identity-issuer-certificate-file and --identity-issuer-key-file.",
            "Where `linkerd install` made the root, its key was forgotten and signs no other issuer: "
            "`linkerd rotate root` replaces both.",
        )
    with connected(cluster) as client:
        installed = _installed(client)
    pair = pki.KeyPair(_read(identity_issuer_certificate_file), _read(identity_issuer_key_file))
    if installed.has_next:
        fail(
            "A rotation of the root is under way, with an issuer of its own.", "Finish it first: `linkerd rotate root`."
        )
    try:
        load_issuer(cert_pem=pair.cert_pem, key_pem=pair.key_pem, roots_pem=installed.bundle, now=datetime.now(UTC))
    except pki.CertificateError as error:
        fail(f"The new issuer cannot be used in {cluster.label}: {error}.")
    click.echo("step 1 of 1: let the new issuer sign", err=True)
    click.echo(render([rotation.replace_issuer(installed, pair)], output), nl=False)


@rotate.command(epilog=EPILOG)
@cluster_options
@output_option
def webhook(*, cluster: Cluster, output: Any) -> None:
    """Print another authority for the injector's certificates, which it renews by itself.

    The API server goes on believing the old one, so no pod is missed.
    """
    from isthmus.install import certificates

    with connected(cluster) as client:
        secret = _get(client, SECRETS, names.INJECTOR_TLS_SECRET, names.CONTROL_PLANE_NAMESPACE)
        configuration = _get(client, WEBHOOKS, names.INJECTOR_WEBHOOK)
        domain = str(ControlPlane(client).values().get("clusterDomain") or "cluster.local")
    click.echo("step 1 of 1: another authority for the injector's certificates", err=True)
    click.echo(
        render(certificates.renewed_webhook(configuration, secret, domain, now=datetime.now(UTC)), output), nl=False
    )


# --- what is there ------------------------------------------------------------------------------------------------
def _installed(client: "SyncClient") -> "Installed":
    from isthmus.identity.rotation import Installed

    namespace = names.CONTROL_PLANE_NAMESPACE
    return Installed(
        _get(client, CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, namespace),
        _get(client, SECRETS, names.IDENTITY_ISSUER_SECRET, namespace),
    )


def _get(client: "SyncClient", kind: Any, name: str, namespace: str | None = None) -> Object:
    try:
        found = client.get(kind, name, namespace)
    except errors.NotFound:
        fail(f"{kind.describe(namespace, name)} does not exist.", "Run `linkerd install | kubectl apply -f -`.")
    return {"apiVersion": kind.api_version, "kind": kind.kind, **found}


def _made(plane: ControlPlane) -> "Material":
    from isthmus.identity.rotation import Material
    from isthmus.kube import pki

    domain = plane.values().get("clusterDomain") or "cluster.local"
    made = pki.make_root(f"root.linkerd.{domain} {datetime.now(UTC):%Y-%m-%d}")
    return Material(made.cert_pem, pki.make_issuer(made, common_name=f"identity.linkerd.{domain}"))


def _given(files: tuple[str | None, str | None, str | None]) -> "Material":
    from isthmus.identity.rotation import Material
    from isthmus.kube import pki

    anchors, certificate, key = files
    if not (anchors and certificate and key):
        fail(
            "The roots, the issuer's certificate and its key belong together.",
            "Give --identity-trust-anchors-file, --identity-issuer-certificate-file and --identity-issuer-key-file.",
        )
    return Material(_read(anchors), pki.KeyPair(_read(certificate), _read(key)))


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}")


# --- what has to be true ------------------------------------------------------------------------------------------
def _wait(missing: Callable[[], list[str]], seconds: float) -> None:
    """Until nothing is missing; ends the command, with what is, when the time is over."""
    deadline = time.monotonic() + seconds
    told = False
    while problems := missing():
        if time.monotonic() + LOOK_AGAIN > deadline:
            listed = problems[:SHOWN] + ([f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])
            fail(
                "The next step is not safe yet, so nothing was printed:\n" + "\n".join(f"  {each}" for each in listed),
                "Run this again later. A pod that does not follow has to be made again: `kubectl delete pod`.",
            )
        if not told:
            click.echo(f"waiting until the next step is safe: {problems[0]}", err=True)
            told = True
        time.sleep(LOOK_AGAIN)


def _holdings(cluster: Cluster, client: "SyncClient") -> list[Any]:
    from isthmus.cli.holdings import holdings

    return holdings(cluster, client)


def _unready_to_switch(
    cluster: Cluster, client: "SyncClient", installed: "Installed", *, ignore_linked: bool
) -> list[str]:
    from isthmus.cli.linked_trust import unaware
    from isthmus.identity import rotation

    linked = [] if ignore_linked else unaware(client, installed)
    return linked or rotation.missing_roots(_holdings(cluster, client), installed.staying)
