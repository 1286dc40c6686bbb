"""Where an installation's certificates come from: made anew, given by the user, or kept from the cluster."""

import base64
from datetime import datetime
from typing import Final

from cryptography import x509

from isthmus import names
from isthmus.install.values import Certificates
from isthmus.kube import pki
from isthmus.kube.kinds import Object
from isthmus.kube.meta import applied

FORMER_AUTHORITIES: Final = 2
"""So many authorities of the webhook are believed beside the newest."""


def fresh(*, cluster_domain: str, trust_domain: str | None = None) -> Certificates:
    """A root and an issuer of this installation's own. The root's key is forgotten: it signs nothing else, ever."""
    root = pki.make_root(f"root.linkerd.{cluster_domain}")
    issuer = pki.make_issuer(root, common_name=f"identity.linkerd.{cluster_domain}")
    return _with_webhook(
        trust_domain=trust_domain or pki.trust_domain(root.cert_pem, cluster_domain),
        trust_anchors=root.cert_pem,
        issuer_certificate=issuer.cert_pem,
        issuer_key=issuer.key_pem,
        cluster_domain=cluster_domain,
    )


def given(
    *, trust_anchors: str, issuer_certificate: str, issuer_key: str, cluster_domain: str, trust_domain: str | None
) -> Certificates:
    """The user's own root and issuer.

    Raises:
        pki.CertificateError: the PEM cannot be read, or the anchors hold no certificate.
    """
    pki.load_certificates(issuer_certificate)
    return _with_webhook(
        trust_domain=trust_domain or pki.trust_domain(trust_anchors, cluster_domain),
        trust_anchors=trust_anchors,
        issuer_certificate=issuer_certificate,
        issuer_key=issuer_key,
        cluster_domain=cluster_domain,
    )


def renewed_webhook(configuration: Object, secret: Object, cluster_domain: str, *, now: datetime) -> list[Object]:
    """Another authority for the injector's certificates, beside those that are still valid.

    The API server believes the new one before the injector has it, and the old one after.
    """
    authority = _webhook_authority(cluster_domain)
    made = applied(configuration)
    for hook in made["webhooks"]:
        bundle = base64.b64decode(hook["clientConfig"].get("caBundle") or "").decode()
        former = [old for old in _readable(bundle) if old.not_valid_after_utc > now][:FORMER_AUTHORITIES]
        together = "".join([authority.cert_pem, *map(pki.certificate_pem, former)])
        hook["clientConfig"]["caBundle"] = base64.b64encode(together.encode()).decode()
    data = {"tls.crt": authority.cert_pem, "tls.key": authority.key_pem}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    return [made, {**applied(secret), "data": encoded}]


def _readable(bundle: str) -> list[x509.Certificate]:
    try:
        return pki.load_certificates(bundle)
    except pki.CertificateError:
        return []


def _webhook_authority(cluster_domain: str) -> pki.KeyPair:
    """The API server believes it; the injector makes its certificates with it (`injector/certificate.py`)."""
    host = f"{names.INJECTOR_SERVICE}.{names.CONTROL_PLANE_NAMESPACE}.svc"
    return pki.make_root(f"root.{host}", only_for=[host, f"{host}.{cluster_domain}"])


def _with_webhook(
    *, trust_domain: str, trust_anchors: str, issuer_certificate: str, issuer_key: str, cluster_domain: str
) -> Certificates:
    authority = _webhook_authority(cluster_domain)
    return Certificates(
        trust_domain=trust_domain,
        trust_anchors=trust_anchors,
        issuer_certificate=issuer_certificate,
        issuer_key=issuer_key,
        webhook_ca=authority.cert_pem,
        webhook_certificate=authority.cert_pem,
        webhook_key=authority.key_pem,
    )
