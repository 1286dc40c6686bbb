"""`linkerd install`: prints the control plane's manifests."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.setting import SETTING, full_values, given_values
from isthmus.cli.values_changed import changed_values, config_of
from isthmus.install import chart, crds, schema
from isthmus.install.controlplane import manifests
from isthmus.install.render import render, yaml_text
from isthmus.install.values import HIGH_AVAILABILITY, LOG_LEVELS, Certificates, InstallValues
from isthmus.kube import errors
from isthmus.kube.kinds import Object, plain

if TYPE_CHECKING:
    from isthmus.identity.rotation import Installed

EPILOG: Final = """
\b
Examples:
  linkerd install | kubectl apply -f -
  linkerd install --ha --set priorityClassName=system-cluster-critical | kubectl apply -f -
  linkerd install --context west --identity-trust-domain west.example.com | kubectl --context west apply -f -
"""
OUTPUT: Final = "Output format; helm prints the values, with the keys, for the chart"
CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
SECRETS: Final = plain("v1", "Secret", "secrets")
DOMAIN: Final = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")


def _domain(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not DOMAIN.match(value):
        raise click.BadParameter(f'"{value}" is not a DNS name in lower case')
    return value


def _set(name: str, *words: str, **settings: Any) -> Any:
    """A flag that sets the value called `name`, if it is given."""
    return click.option(*words, name.replace(".", "__"), **settings)


LEVELS: Final = click.Choice(LOG_LEVELS)
VALUES: Final = (
    _set("clusterDomain", "--cluster-domain", help="The cluster's DNS domain [default: cluster.local]"),
    _set(
        "clusterNetworks",
        "--cluster-networks",
        help="CIDRs looked up in the mesh; other destinations pass through [default: the private ranges]",
    ),
    _set("identity.issuer.issuanceLifetime", "--identity-issuance-lifetime", help="Life of a leaf [default: 24h]"),
    _set(
        "identity.issuer.clockSkewAllowance",
        "--identity-clock-skew-allowance",
        help="How far clocks may be apart [default: 20s]",
    ),
    _set("registry", "--registry", help=f"Where the images come from [default: {names.DEFAULT_REGISTRY}]"),
    _set(
        "imagePullPolicy",
        "--image-pull-policy",
        type=click.Choice(["Always", "IfNotPresent", "Never"]),
        help="Pull policy of every container [default: IfNotPresent]",
    ),
    _set(
        "controllerReplicas",
        "--controller-replicas",
        type=click.IntRange(min=1),
        help="Replicas of each control-plane process [default: 1]",
    ),
    _set("controllerLogLevel", "--controller-log-level", type=LEVELS, help="[default: info]"),
    _set("proxy.logLevel", "--proxy-log-level", help="Envoy's log level in every proxy [default: warn]"),
    _set("proxy.resources.cpu.request", "--proxy-cpu-request", help="CPU that every proxy asks for"),
    _set("proxy.resources.cpu.limit", "--proxy-cpu-limit", help="CPU that a proxy may use at most"),
    _set("proxy.resources.memory.request", "--proxy-memory-request", help="Memory that every proxy asks for"),
    _set("proxy.resources.memory.limit", "--proxy-memory-limit", help="Memory that a proxy may use at most"),
    _set(
        "proxyInit.ignoreInboundPorts",
        "--skip-inbound-ports",
        help="Ports and ranges that no proxy sees inbound [default: 4567,4568]",
    ),
    _set(
        "proxyInit.ignoreOutboundPorts",
        "--skip-outbound-ports",
        help="Ports and ranges that no proxy sees outbound [default: 4567,4568]",
    ),
)
"""Flags that are short for `--set`."""
NOTHING_TO_DO: Final = {
    "disable_heartbeat": "--disable-heartbeat has no effect: Isthmus never calls home.",
    "enable_endpoint_slices": "--enable-endpoint-slices has no effect: EndpointSlices are all that is read.",
}
REFUSED: Final = {
    "linkerd_cni_enabled": (
        "There is no CNI plugin: without its init container a pod's traffic would pass by its proxy.",
        "Leave --linkerd-cni-enabled out.",
    ),
    "identity_external_issuer": (
        "Install prints the issuer's Secret; a cluster without it would have no identities.",
        "Install with an issuer, then replace Secret linkerd/linkerd-identity-issuer: it is used without a restart.",
    ),
    "identity_external_ca": (
        "Install prints the ConfigMap of trust roots; a cluster without it would trust nobody.",
        "Give your roots by --identity-trust-anchors-file.",
    ),
}
CHANGED: Final = "changing values that it has; to keep one, give it again:\n  "
ONLY_POLICY: Final = "all-unauthenticated"


def _all(options: Sequence[Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command(epilog=EPILOG)
@cluster_options
@click.option("--crds", "crds_only", is_flag=True, help="Print only the custom resource definitions")
@click.option("--ha", is_flag=True, help="Three replicas on three nodes, disruption budgets, resource requests")
@click.option(
    "--identity-trust-domain", callback=_domain, help="SPIFFE trust domain [default: derived from the root's key]"
)
@click.option("--identity-trust-anchors-file", type=click.Path(), help="PEM file of the roots to trust")
@click.option("--identity-issuer-certificate-file", type=click.Path(), help="PEM file of the issuer's certificate")
@click.option("--identity-issuer-key-file", type=click.Path(), help="PEM file of the issuer's key")
@_all(VALUES)
@_all(SETTING)
@click.option("--default-inbound-policy", hidden=True)
@click.option("--linkerd-cni-enabled", is_flag=True, hidden=True)
@click.option("--identity-external-issuer", is_flag=True, hidden=True)
@click.option("--identity-external-ca", is_flag=True, hidden=True)
@click.option("--disable-heartbeat", is_flag=True, hidden=True)
@click.option("--enable-endpoint-slices", type=bool, is_flag=False, flag_value=True, default=None, hidden=True)
@click.option("--ignore-cluster", is_flag=True, help="Do not look at the cluster for an installation to keep")
@click.option("-o", "--output", type=click.Choice(["yaml", "json", "helm"]), default="yaml", help=OUTPUT)
def install(
    *,
    cluster: Cluster,
    crds_only: bool,
    ha: bool,
    ignore_cluster: bool,
    output: Any,
    identity_trust_domain: str | None,
    identity_trust_anchors_file: str | None,
    identity_issuer_certificate_file: str | None,
    identity_issuer_key_file: str | None,
    values: tuple[str, ...],
    settings: tuple[str, ...],
    set_string: tuple[str, ...],
    set_file: tuple[str, ...],
    default_inbound_policy: str | None,
    **flags: Any,
) -> None:
    """Print the manifests of the control plane, to be piped into `kubectl apply -f -`.

    Each cluster gets a root of trust of its own. Running it again keeps the root that the cluster has.
    """
    from isthmus.identity import rotation  # loads the cryptography library
    from isthmus.install import certificates

    _say_what_is_not_done(flags, default_inbound_policy)
    asked = [_from_flags(flags), *given_values(values, settings, set_string, set_file)]
    chosen = full_values(InstallValues, [HIGH_AVAILABILITY if ha else {}, *asked], apart=("identityTrustDomain",))
    identity_trust_domain = identity_trust_domain or chosen.pop("identityTrustDomain", None)
    cluster_domain = chosen["clusterDomain"]
    if crds_only:
        click.echo(render(crds.control_plane(), "yaml" if output == "helm" else output), nl=False)
        return
    files = (identity_trust_anchors_file, identity_issuer_certificate_file, identity_issuer_key_file)
    kept, rotated, config = (None, None, {}) if any(files) or ignore_cluster else _installed(cluster)
    if any(files):
        material = _given(files, cluster_domain, identity_trust_domain)
    else:
        material = kept or certificates.fresh(cluster_domain=cluster_domain, trust_domain=identity_trust_domain)
        if identity_trust_domain and material.trust_domain != identity_trust_domain:
            fail(
                f'{cluster.label} is installed with trust domain "{material.trust_domain}", '
                f'not "{identity_trust_domain}"; changing it breaks every running workload.',
                "Leave --identity-trust-domain out, or uninstall first.",
            )
    made = schema.from_tree(InstallValues, chosen, certificates=material)
    if changed := changed_values(config, made.public()):
        click.echo(CHANGED + "\n  ".join(changed), err=True)
    if output == "helm":
        click.echo(yaml_text(chart.given_values(made)), nl=False)
        return
    printed = manifests(made)
    click.echo(render(rotation.carried_over(printed, rotated) if rotated else printed, output), nl=False)


def _from_flags(flags: Mapping[str, Any]) -> schema.Tree:
    """The values that flags set."""
    made: schema.Tree = {}
    for name, content in flags.items():
        if content is not None and name not in NOTHING_TO_DO and name not in REFUSED:
            schema.put(made, tuple(name.split("__")), content)
    return made


def _say_what_is_not_done(flags: Mapping[str, Any], policy: str | None) -> None:
    """Linkerd's flags for what Isthmus has not, or not otherwise: said, and refused where silence would be a lie."""
    for name, (problem, hint) in REFUSED.items():
        if flags[name]:
            fail(problem, hint)
    if policy not in (None, ONLY_POLICY):
        fail(
            f'There are no inbound policies: "{policy}" would be written down, and every client let in all the same.',
            f"Leave --default-inbound-policy out; it is always {ONLY_POLICY}.",
        )
    for name, sentence in NOTHING_TO_DO.items():
        if flags[name]:
            click.echo(sentence, err=True)
        elif flags[name] is False and name == "enable_endpoint_slices":
            fail("Endpoints come from EndpointSlices only.", "Leave --enable-endpoint-slices out.")


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


def _installed(cluster: Cluster) -> "tuple[Certificates, Installed, Object] | tuple[None, None, Object]":
    """The certificates of the installation that is there, so that applying again changes no identity; its values."""
    from isthmus.identity.rotation import Installed

    with connected(cluster) as client:
        try:
            there = Installed(
                client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE),
                client.get(SECRETS, names.IDENTITY_ISSUER_SECRET, names.CONTROL_PLANE_NAMESPACE),
            )
            roots, issuer = there.config_map["data"], _decoded(there.secret)
            webhook = _decoded(client.get(SECRETS, names.INJECTOR_TLS_SECRET, names.CONTROL_PLANE_NAMESPACE))
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
            kept = Certificates(
                trust_domain=roots[names.TRUST_DOMAIN_KEY],
                trust_anchors=roots[names.TRUST_ROOTS_KEY],
                issuer_certificate=issuer["tls.crt"],
                issuer_key=issuer["tls.key"],
                webhook_ca=base64.b64decode(bundle).decode(),
                webhook_certificate=webhook["tls.crt"],
                webhook_key=webhook["tls.key"],
            )
            return kept, there, config_of(client)
        except errors.NotFound:
            return None, None, {}
        except (KeyError, IndexError):
            fail(
                f"{cluster.label} has an installation whose certificates are incomplete.",
                "Look at the ConfigMap linkerd-identity-trust-roots and the Secret linkerd-identity-issuer in "
                "namespace linkerd, or start anew with --ignore-cluster.",
            )


def _decoded(secret: Object) -> dict[str, str]:
    return {file: base64.b64decode(content).decode() for file, content in (secret.get("data") or {}).items()}
