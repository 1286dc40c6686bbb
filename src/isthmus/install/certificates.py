"""Where an installation's certificates come from: made anew, given by the user, or kept from the cluster."""

from isthmus import names
from isthmus.install.values import Certificates
from isthmus.kube import pki


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


def _with_webhook(
    *, trust_domain: str, trust_anchors: str, issuer_certificate: str, issuer_key: str, cluster_domain: str
) -> Certificates:
    host = f"{names.INJECTOR_SERVICE}.{names.CONTROL_PLANE_NAMESPACE}.svc"
    authority = pki.make_root(host)
    server = pki.make_server_certificate(authority, dns_names=[host, f"{host}.{cluster_domain}"])
    return Certificates(
        trust_domain=trust_domain,
        trust_anchors=trust_anchors,
        issuer_certificate=issuer_certificate,
        issuer_key=issuer_key,
        webhook_ca=authority.cert_pem,
        webhook_certificate=server.cert_pem,
        webhook_key=server.key_pem,
    )
