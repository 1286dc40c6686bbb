"""Which claims of trust domains count, and with which roots: the rules for whom this cluster believes. Pure.

A claim says that some roots vouch for a trust domain. It comes from a cluster that links to this one, or from one that
this one links to; neither may speak for a domain that is not its own. What was accepted stays in force while the claim
says something that cannot be accepted, so a claim can be neither taken over nor spoiled.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isthmus.kube import lineage, pki
from isthmus.kube.kinds import Object
from isthmus.kube.meta import Key
from isthmus.multicluster.trust import Roots

MAX_BUNDLE: Final = 65536
MAX_ROOTS: Final = 32
MAX_LINEAGE: Final = 48
"""Certificates of a proof: three for each rotation, and each costs a look at every other."""
MAX_DOMAINS: Final = 100
_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?")
"""What a SPIFFE trust domain looks like."""
_DERIVED: Final = re.compile(r"root-([0-9a-f]{16})\..+")
"""A domain that is named after the key of its first root; see `pki.trust_domain`."""

ACCEPTED: Final[Mapping[str, bool]] = {
    "Accepted": True,
    "InvalidTrustDomain": False,
    "OwnTrustDomain": False,
    "AlreadyClaimed": False,
    "TooManyDomains": False,
    "BundleTooLarge": False,
    "InvalidBundle": False,
    "BundleReplaced": False,
    "NotItsRoot": False,
}
"""Reason of a verdict -> whether the claim is taken as it stands."""

Digests = frozenset[str]
"""What tells roots apart: the SHA-256 of each one's public key, so that a renewed certificate is the same root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Roots for a domain. `held` is what was accepted of this claim before; `vouched` are roots that an operator of
    this cluster gave for the domain."""

    key: Key
    created: str
    roots: Roots
    held: Roots | None = None
    vouched: str = ""

    @property
    def in_force(self) -> Roots | None:
        """What was accepted, as long as it is still the same domain that is claimed."""
        return self.held if self.held and self.held.trust_domain == self.roots.trust_domain else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a claim is taken as it stands, why, and what counts now: None when nothing does."""

    reason: str
    message: str
    roots: Roots | None = None

    @property
    def accepted(self) -> bool:
        return ACCEPTED[self.reason]


@dataclass(frozen=True, slots=True)
class _Holder:
    who: str
    digests: Digests


def judge(
    claims: Iterable[Claim], own: Roots, *, sharing: bool = False, limit: int | None = MAX_DOMAINS
) -> dict[Key, Verdict]:
    """A verdict for each claim. Who holds a domain keeps it; of new claims the oldest counts, up to `limit` domains.

    With `sharing`, clusters that share a root may share a domain, with each other and with this one.
    """
    taken = {own.trust_domain: _Holder("", _digests(own.bundle))}
    verdicts: dict[Key, Verdict] = {}
    for claim in sorted(claims, key=lambda each: (each.in_force is None, each.created, each.key)):
        verdict = verdicts[claim.key] = _judge(claim, taken, sharing=sharing, full=len(taken) > (limit or len(taken)))
        if verdict.roots is not None:
            taken.setdefault(verdict.roots.trust_domain, _Holder(claim.key[1], _digests(verdict.roots.bundle)))
    return verdicts


def _judge(claim: Claim, taken: Mapping[str, _Holder], *, sharing: bool, full: bool) -> Verdict:
    domain, bundle = claim.roots.trust_domain, claim.roots.bundle
    if not _DOMAIN.fullmatch(domain):
        return Verdict("InvalidTrustDomain", f"{domain[:255]!r} is not a trust domain.")
    holder = taken.get(domain)
    if holder is not None and not (sharing and holder.digests & _digests(bundle)):
        return _refused_to_a_second(domain, holder)
    if holder is None and full:
        return Verdict("TooManyDomains", f"{len(taken) - 1} other trust domains are accepted already; no more are.")
    if len(bundle) > MAX_BUNDLE:
        problem = f"The bundle has {len(bundle)} bytes; {MAX_BUNDLE} are accepted."
        return Verdict("BundleTooLarge", problem, claim.in_force)
    if problem := bundle_problem(bundle) or "":
        return Verdict("InvalidBundle", problem, claim.in_force)
    return _continuous(claim, domain, bundle)


def _refused_to_a_second(domain: str, holder: _Holder) -> Verdict:
    if not holder.who:
        return Verdict("OwnTrustDomain", f"{domain} is this cluster's own trust domain; nobody else speaks for it.")
    return Verdict("AlreadyClaimed", f"{holder.who} has claimed trust domain {domain} before.")


def _continuous(claim: Claim, domain: str, bundle: str) -> Verdict:
    """Whether these roots come from whom the domain belongs to.

    The root that a domain is named after may always come back: so its owner can undo what others wrote in its place.
    """
    digests, before = _digests(bundle), claim.in_force
    known = _digests(claim.vouched) | (_digests(before.bundle) if before else frozenset())
    derived = _DERIVED.fullmatch(domain)
    founded = derived is not None and bool(digests & _founded(claim.roots, derived[1]))
    if before is not None and not (founded or digests & known):
        return Verdict(
            "BundleReplaced",
            f"The roots of {domain} have all been replaced at once, so they may be somebody else's; those accepted "
            "before stay in force. A rotation publishes old and new roots together first.",
            before,
        )
    if derived and not (founded or digests & known):
        return Verdict(
            "NotItsRoot",
            f"{domain} is named after the key of a root that is not in the bundle, and "
            "nothing proves that these follow from it.",
        )
    return Verdict("Accepted", f"Workloads of trust domain {domain} are recognised.", Roots(domain, _canonical(bundle)))


def _founded(roots: Roots, first: str) -> Digests:
    """The keys that the root which the domain is named after vouches for: itself, and what follows by endorsements."""
    itself = frozenset(digest for digest in _digests(roots.bundle) if digest.startswith(first))
    return itself or _proven(roots.lineage, roots.trust_domain, first)


@lru_cache(maxsize=512)
def _proven(proof: str, domain: str, first: str) -> Digests:
    certificates = _certificates(proof)
    return lineage.proven(certificates, domain, first) if len(certificates) <= MAX_LINEAGE else frozenset()


# --- certificates -------------------------------------------------------------------------------------------------
def bundle_problem(bundle: str) -> str | None:
    """Why a PEM bundle cannot vouch for a trust domain, None if it can."""
    certificates = _certificates(bundle)
    if not certificates:
        return "The bundle holds no readable PEM certificates."
    if len(certificates) > MAX_ROOTS:
        return f"The bundle has {len(certificates)} certificates; {MAX_ROOTS} are accepted."
    for certificate in certificates:
        if not _is_authority(certificate):
            return f"{_subject(certificate)} is not a certificate authority."
    return None


def same(one: str, other: str) -> bool:
    """Whether two bundles hold the same certificates."""
    return {each.public_bytes(Encoding.DER) for each in _certificates(one)} == {
        each.public_bytes(Encoding.DER) for each in _certificates(other)
    }


def fingerprints(bundle: str) -> str:
    """The certificates of a bundle in a form for objects and people: sorted, separated by commas."""
    return ",".join(sorted({pki.fingerprint(each) for each in _certificates(bundle)}))


@lru_cache(maxsize=512)
def _certificates(bundle: str) -> tuple[x509.Certificate, ...]:
    """Those in a bundle; none when it is too large or cannot be read."""
    try:
        return tuple(x509.load_pem_x509_certificates(bundle.encode())) if len(bundle) <= MAX_BUNDLE else ()
    except pki.UNREADABLE:
        return ()


@lru_cache(maxsize=512)
def _digests(bundle: str) -> Digests:
    return frozenset(filter(None, map(_digest, _certificates(bundle))))


def _digest(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except pki.UNREADABLE:
        return ""
    return hashlib.sha256(key).hexdigest()


def _canonical(bundle: str) -> str:
    """The certificates alone, each once: nothing else that a bundle may contain reaches a proxy."""
    return "".join(dict.fromkeys(pki.certificate_pem(each) for each in _certificates(bundle)))


def _is_authority(certificate: x509.Certificate) -> bool:
    return bool(_digest(certificate)) and pki.may_sign(certificate)


def _subject(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string() or "A certificate"
    except ValueError:
        return "A certificate"


# --- registrations ------------------------------------------------------------------------------------------------
def registered(item: Object) -> Claim:
    """The claim that a FederatedTrustDomain makes."""
    metadata: Mapping[str, Any] = item.get("metadata") or {}
    spec: Mapping[str, Any] = item.get("spec") or {}
    status: Mapping[str, Any] = item.get("status") or {}
    return Claim(
        key=(metadata.get("namespace") or "", metadata.get("name") or ""),
        created=metadata.get("creationTimestamp") or "",
        roots=Roots(str(spec.get("trustDomain", "")), str(spec.get("bundle", "")), str(spec.get("lineage", ""))),
        held=_held(status.get("trustDomain"), status.get("bundle")),
    )


def status(verdict: Verdict, previous: Mapping[str, Any], *, now: str) -> Object:
    """The status of a registration; equal to the previous one when nothing changed."""
    accepted = "True" if verdict.accepted else "False"
    before: Mapping[str, Any] = next((c for c in previous.get("conditions") or () if c.get("type") == "Accepted"), {})
    since = before.get("lastTransitionTime") if before.get("status") == accepted else None
    condition = {
        "type": "Accepted",
        "status": accepted,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": since or now,
    }
    return {
        "conditions": [condition],
        "accepted": accepted,
        "reason": verdict.reason,
        "trustDomain": verdict.roots.trust_domain if verdict.roots else "",
        "bundle": verdict.roots.bundle if verdict.roots else "",
    }


# --- Links --------------------------------------------------------------------------------------------------------
def linked(item: Object, live: Roots | None = None) -> Claim | None:
    """The claim of a Link's target: what it says now, else what was accepted of it; None when there is neither."""
    metadata: Mapping[str, Any] = item.get("metadata") or {}
    spec: Mapping[str, Any] = item.get("spec") or {}
    status: Mapping[str, Any] = item.get("status") or {}
    held = _held(status.get("trustDomain"), status.get("trustBundle"))
    roots = live or held
    if roots is None:
        return None
    given = spec.get("targetTrustDomain") == roots.trust_domain
    return Claim(
        key=(metadata.get("namespace") or "", metadata.get("name") or ""),
        created=metadata.get("creationTimestamp") or "",
        roots=roots,
        held=held,
        vouched=str(spec.get("targetTrustBundle") or "") if given else "",
    )


def _held(domain: Any, bundle: Any) -> Roots | None:
    return Roots(str(domain), str(bundle)) if domain and bundle else None
