"""The authority as it is now: the issuer in use, replaced while it serves, and the certificate it serves with."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from isthmus import names
from isthmus.identity import ca
from isthmus.identity.issuer import Issuer, load_issuer
from isthmus.kube import pki, tls
from isthmus.kube.files import Contents
from isthmus.mesh.model import Identity

RENEW_AT: Final = 0.7
"""The part of its life after which a certificate is replaced."""
SERVING: Final = ca.Validity()
"""The server's own certificate does not follow the flags: leaves may be shorter than the time between two checks."""
ISSUER_CERTIFICATE: Final = "tls.crt"
ISSUER_KEY: Final = "tls.key"


def wall_clock() -> datetime:
    return datetime.now(UTC)


class Authority:
    """Signs requests with the issuer of the day.

    `adopt` takes what the mounted files hold; a set of files that cannot be used is refused and the previous issuer
    stays, because a half-written rotation must not stop a working mesh.
    """

    def __init__(
        self,
        *,
        trust_domain: str,
        cluster_domain: str,
        namespace: str = names.CONTROL_PLANE_NAMESPACE,
        validity: ca.Validity | None = None,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self.trust_domain = trust_domain
        self._host = f"{names.IDENTITY_SERVICE}.{namespace}.svc"
        self._cluster_domain = cluster_domain
        self._validity = validity or ca.Validity()
        self._clock = clock
        self._issuer: Issuer | None = None
        self._serving_until: tuple[datetime, datetime] | None = None
        self.tls: ssl.SSLContext | None = None

    @property
    def ready(self) -> bool:
        return self._issuer is not None and self._clock() < self._issuer.not_after

    @property
    def issuer(self) -> Issuer:
        if self._issuer is None:
            raise ca.Refusal("no_issuer", "the identity service has no usable issuer; see its log", status=503)
        return self._issuer

    def adopt(self, files: Contents) -> None:
        """Use the issuer and the roots in `files` from now on; CertificateError says why they cannot be used."""
        for name in (ISSUER_CERTIFICATE, ISSUER_KEY, names.TRUST_ROOTS_KEY):
            if name not in files:
                raise pki.CertificateError(f"the file {name} is missing")
        self._issuer = load_issuer(
            cert_pem=files[ISSUER_CERTIFICATE],
            key_pem=files[ISSUER_KEY],
            roots_pem=files[names.TRUST_ROOTS_KEY],
            now=self._clock(),
        )
        self._serve()

    def sign(self, request_pem: str, *, namespace: str, service_account: str) -> ca.Leaf:
        """The leaf for a service account's request, or Refusal."""
        if not self.ready and self._issuer is not None:
            raise ca.Refusal("issuer_expired", "the issuer certificate expired; install a new issuer", status=503)
        identity = Identity(self.trust_domain, namespace, service_account)
        return ca.sign(request_pem, identity, issuer=self.issuer, now=self._clock(), validity=self._validity)

    def renew_serving_certificate(self) -> bool:
        """Replace the server's own certificate if it is due; says whether it was."""
        if self._serving_until is None or self._issuer is None:
            return False
        start, end = self._serving_until
        if self._clock() < start + (end - start) * RENEW_AT or not self.ready:
            return False
        self._serve()
        return True

    def _serve(self) -> None:
        key = pki.make_key()
        hosts = (f"{self._host}.{self._cluster_domain}", self._host)
        leaf = ca.issue(
            key.public_key(),
            [x509.DNSName(host) for host in hosts],
            issuer=self.issuer,
            now=self._clock(),
            validity=SERVING,
        )
        pair = pki.KeyPair(leaf.chain_pem, pki.key_pem(key))
        if self.tls is None:
            self.tls = tls.server_context(pair)
        else:
            tls.present(self.tls, pair)
        self._serving_until = (leaf.not_before, leaf.not_after)
