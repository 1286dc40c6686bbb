"""The certificate that the webhook shows: made in this process, by the authority that the API server believes. Pure.

The authority lasts for years and may vouch for the injector's own names only: its key opens no more than that of a
certificate would. Each replica makes certificates of its own, and nothing is written anywhere.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509

from isthmus.kube import pki

LIFETIME: Final = timedelta(days=30)
RENEW_AFTER: Final = 0.7
"""Of its life: whoever serves has days to say that it does not succeed."""
BACKDATED: Final = timedelta(days=1)
"""The API server's clock may be wrong by as much."""


class Shown(NamedTuple):
    """What is served, and when to make another; None for a certificate that somebody else renews."""

    pair: pki.KeyPair
    renew_at: datetime | None


def shown(mounted: pki.KeyPair, now: datetime) -> Shown:
    """A certificate of the mounted authority; what is mounted itself where it is a server's certificate, or too old.

    Raises:
        pki.CertificateError: what is mounted cannot be read.
    """
    authority = pki.load_certificates(mounted.cert_pem)[0]
    hosts, ends = _vouches_for(authority), authority.not_valid_after_utc
    if not hosts or now >= ends:
        return Shown(mounted, None)
    start = max(now - BACKDATED, authority.not_valid_before_utc + pki.CLOCK_SKEW)
    left = min(LIFETIME, ends - now)
    made = pki.make_server_certificate(mounted, dns_names=hosts, lifetime=now + left - start, now=start)
    return Shown(made, now + left * RENEW_AFTER)


def _vouches_for(certificate: x509.Certificate) -> list[str]:
    """The only names that an authority may vouch for; none for any other certificate."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except (x509.ExtensionNotFound, *pki.UNREADABLE):
        return []
    found = constraints.permitted_subtrees or ()
    return [str(each.value) for each in found if isinstance(each, x509.DNSName)] if pki.may_sign(certificate) else []
