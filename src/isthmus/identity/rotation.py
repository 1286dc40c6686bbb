"""How a cluster gets other roots and another issuer while everything runs, one safe step after the other. Pure.

A rotation of the root has three steps. Where it stands follows from the objects alone, so it can be left and taken up
again by anybody:

settled    roots and an issuer                 -> 1. publish: the new roots beside the old ones, the next issuer kept
published  `next.crt` beside the issuer        -> 2. switch: the next issuer signs
switched   the issuer leads to a root that stays, others are marked as retiring   -> 3. retire: those are dropped

The next issuer waits in the issuer's own Secret, which is the one place for such keys. Which roots retire is an
annotation of the ConfigMap that holds them: a bundle alone does not tell a rotation from two roots that shall stay.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from cryptography import x509

from isthmus import names
from isthmus.identity.issuer import Issuer, load_issuer
from isthmus.kube import lineage, pki
from isthmus.kube.kinds import Object
from isthmus.kube.meta import applied

NEXT_CERTIFICATE: Final = "next.crt"
NEXT_KEY: Final = "next.key"


class Phase(Enum):
    """Where a rotation of the root stands; the value is the step that comes next."""

    SETTLED = 1
    PUBLISHED = 2
    SWITCHED = 3


STEPS: Final[Mapping[Phase, str]] = {
    Phase.SETTLED: "publish the new root beside the old one",
    Phase.PUBLISHED: "let the new issuer sign",
    Phase.SWITCHED: "drop the old root",
}
AFTERWARDS: Final[Mapping[Phase, str]] = {
    Phase.SETTLED: "every proxy and every linked cluster must have the new root",
    Phase.PUBLISHED: "every proxy must have a certificate of the new issuer",
    Phase.SWITCHED: "",
}
"""What has to be true before the step after this one."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The two objects that a rotation changes, as they are in the cluster."""

    config_map: Object
    secret: Object = field(repr=False)

    @property
    def bundle(self) -> str:
        return str((self.config_map.get("data") or {}).get(names.TRUST_ROOTS_KEY) or "")

    @property
    def trust_domain(self) -> str:
        return str((self.config_map.get("data") or {}).get(names.TRUST_DOMAIN_KEY) or "")

    @property
    def roots(self) -> list[x509.Certificate]:
        return pki.load_certificates(self.bundle)

    @property
    def retiring(self) -> frozenset[str]:
        """Fingerprints of the roots that the rotation under way will drop."""
        annotations = self.config_map["metadata"].get("annotations") or {}
        return frozenset(filter(None, annotations.get(names.RETIRING_ROOTS_ANNOTATION, "").split(",")))

    @property
    def staying(self) -> list[x509.Certificate]:
        retiring = self.retiring
        return [root for root in self.roots if pki.fingerprint(root) not in retiring]

    def pem(self, file: str) -> str:
        """A file of the Secret; CertificateError when it is not there."""
        try:
            return base64.b64decode(self.secret["data"][file], validate=True).decode()
        except (KeyError, TypeError, ValueError):
            raise pki.CertificateError(f"Secret {names.IDENTITY_ISSUER_SECRET} has no readable {file}") from None

    @property
    def has_next(self) -> bool:
        return NEXT_CERTIFICATE in (self.secret.get("data") or {})

    def issuer(self, now: datetime, *, roots: Sequence[x509.Certificate] | None = None) -> Issuer:
        """The issuer in use; CertificateError when it does not lead to the roots or cannot sign."""
        return self._issuer("tls.crt", "tls.key", now, roots)

    def next_issuer(self, now: datetime) -> Issuer:
        return self._issuer(NEXT_CERTIFICATE, NEXT_KEY, now, None)

    def _issuer(self, certificate: str, key: str, now: datetime, roots: Sequence[x509.Certificate] | None) -> Issuer:
        bundle = self.bundle if roots is None else "".join(map(pki.certificate_pem, roots))
        return load_issuer(cert_pem=self.pem(certificate), key_pem=self.pem(key), roots_pem=bundle, now=now)


def phase(installed: Installed, now: datetime) -> Phase:
    """Where the rotation stands. One whose next issuer was lost begins again, with the same roots retiring."""
    if installed.has_next:
        return Phase.PUBLISHED
    if installed.retiring and installed.staying:
        try:
            installed.issuer(now, roots=installed.staying)
        except pki.CertificateError:
            return Phase.SETTLED
        return Phase.SWITCHED
    return Phase.SETTLED


@dataclass(frozen=True, slots=True)
class Material:
    """The new roots and an issuer that one of them vouches for."""

    roots: str
    issuer: pki.KeyPair


def publish(installed: Installed, new: Material, now: datetime) -> list[Object]:
    """Step 1: everybody learns the new roots; the issuer stays."""
    load_issuer(cert_pem=new.issuer.cert_pem, key_pem=new.issuer.key_pem, roots_pem=new.roots, now=now)
    wanted = {pki.fingerprint(root) for root in pki.load_certificates(new.roots)}
    known = {pki.fingerprint(root) for root in installed.roots}
    added = [root for root in pki.load_certificates(new.roots) if pki.fingerprint(root) not in known]
    return [
        _config_map(
            installed,
            [*installed.roots, *added],
            retiring=known - wanted,
            proof=_lineage(installed, added, now),
        ),
        _secret(installed, {NEXT_CERTIFICATE: new.issuer.cert_pem, NEXT_KEY: new.issuer.key_pem}),
    ]


def switch(installed: Installed) -> list[Object]:
    """Step 2: the next issuer signs from now on."""
    return [replace_issuer(installed, pki.KeyPair(installed.pem(NEXT_CERTIFICATE), installed.pem(NEXT_KEY)))]


def retire(installed: Installed) -> list[Object]:
    """Step 3: the old roots vouch for nobody any more."""
    return [_config_map(installed, installed.staying, retiring=frozenset())]


def carried_over(manifests: Iterable[Object], installed: Installed) -> list[Object]:
    """What `install` prints, with what a rotation wrote beside the certificates.

    That is how far it has come, and what proves that its roots follow from the first: without the proof, linked
    clusters refuse a trust domain that is named after a root which is gone.
    """
    written = {
        ("ConfigMap", names.TRUST_ROOTS_CONFIG_MAP): installed.config_map,
        ("Secret", names.IDENTITY_ISSUER_SECRET): installed.secret,
    }
    return [_with(item, written.get((item["kind"], item["metadata"]["name"]))) for item in manifests]


def _with(item: Object, written: Object | None) -> Object:
    if written is None:
        return item
    retiring = (written["metadata"].get("annotations") or {}).get(names.RETIRING_ROOTS_ANNOTATION)
    said = {names.RETIRING_ROOTS_ANNOTATION: retiring} if retiring else {}
    annotations = {**(item["metadata"].get("annotations") or {}), **said}
    metadata = {**item["metadata"], **({"annotations": annotations} if annotations else {})}
    return {**item, "metadata": metadata, "data": {**written["data"], **item["data"]}}


def replace_issuer(installed: Installed, issuer: pki.KeyPair) -> Object:
    """The Secret with another issuer, and no next one."""
    data = {"tls.crt": issuer.cert_pem, "tls.key": issuer.key_pem}
    kept = {name: text for name, text in installed.secret["data"].items() if name not in (NEXT_CERTIFICATE, NEXT_KEY)}
    return {**applied(installed.secret), "data": kept | _encoded(data)}


def _config_map(
    installed: Installed,
    roots: Sequence[x509.Certificate],
    *,
    retiring: set[str] | frozenset[str],
    proof: str = "",
) -> Object:
    bare = applied(installed.config_map)
    annotations = dict(bare["metadata"].get("annotations") or {})
    annotations.pop(names.RETIRING_ROOTS_ANNOTATION, None)
    if retiring:
        annotations[names.RETIRING_ROOTS_ANNOTATION] = ",".join(sorted(retiring))
    bundle = "".join(map(pki.certificate_pem, roots))
    said = {names.LINEAGE_KEY: proof} if proof else {}
    return {
        **bare,
        "metadata": {**bare["metadata"], "annotations": annotations},
        "data": {**installed.config_map["data"], names.TRUST_ROOTS_KEY: bundle, **said},
    }


def _lineage(installed: Installed, added: Sequence[x509.Certificate], now: datetime) -> str:
    """The proof so far, and the present issuer's word for the new roots; nothing new if it cannot sign any more."""
    so_far = str(installed.config_map["data"].get(names.LINEAGE_KEY) or "")
    try:
        issuer = installed.issuer(now)
    except pki.CertificateError:
        return so_far
    domain = installed.trust_domain
    words = [lineage.endorse(root, domain, issuer=issuer.certificate, key=issuer.key, now=now) for root in added]
    more = [*installed.roots, *issuer.chain, *words, *added]
    return so_far + "".join(text for text in dict.fromkeys(map(pki.certificate_pem, more)) if text not in so_far)


def _secret(installed: Installed, more: Mapping[str, str]) -> Object:
    return {**applied(installed.secret), "data": {**installed.secret["data"], **_encoded(more)}}


def _encoded(files: Mapping[str, str]) -> dict[str, str]:
    return {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}


# --- what has to be true before the next step ---------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Holding:
    """What one proxy goes by. `problem` says why it could not be asked, "" if it could."""

    pod: str
    certificate: str = ""
    roots: str = ""
    anchors: str = ""
    problem: str = ""


def missing_roots(holdings: Sequence[Holding], roots: Sequence[x509.Certificate]) -> list[str]:
    """A sentence for each proxy that does not know all of these roots yet."""
    wanted = {pki.fingerprint(root) for root in roots}
    found = []
    for holding in holdings:
        problem = holding.problem
        if not problem and not wanted <= fingerprints(holding.roots):
            problem = "does not hold the new root yet"
        elif not problem and not wanted <= fingerprints(holding.anchors):
            problem = "does not expect the new root of the control plane yet"
        if problem:
            found.append(f"{holding.pod} {problem}")
    return found


def not_vouched(holdings: Sequence[Holding], roots: Sequence[x509.Certificate]) -> list[str]:
    """A sentence for each proxy whose certificate none of these roots vouches for."""
    found = []
    for holding in holdings:
        problem = holding.problem
        if not problem and not pki.leads_to(holding.certificate, roots):
            problem = "has a certificate of the old root still"
        if problem:
            found.append(f"{holding.pod} {problem}")
    return found


def fingerprints(bundle: str) -> frozenset[str]:
    """Those of the certificates in a bundle; none when it cannot be read."""
    try:
        return frozenset(map(pki.fingerprint, pki.load_certificates(bundle)))
    except pki.CertificateError:
        return frozenset()
