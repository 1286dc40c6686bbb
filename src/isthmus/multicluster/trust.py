"""Trust between clusters that share no root: what a linking cluster registers, and what the target accepts."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from isthmus import names
from isthmus.kube.kinds import Object
from isthmus.kube.meta import Key, key_of
from isthmus.multicluster.objects import ConfigMap

MAX_BUNDLE: Final = 65536
MAX_ROOTS: Final = 32
_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?")
"""What a SPIFFE trust domain looks like."""

ACCEPTED: Final[Mapping[str, bool]] = {
    "Accepted": True,
    "OwnTrustDomain": False,
    "AlreadyClaimed": False,
    "InvalidTrustDomain": False,
    "InvalidBundle": False,
    "BundleTooLarge": False,
}
"""Reason of the condition `Accepted` -> whether the registration counts."""


@dataclass(frozen=True, slots=True)
class Roots:
    """A trust domain and the PEM roots that vouch for it."""

    trust_domain: str
    bundle: str


def roots(config_map: ConfigMap | None) -> Roots | None:
    """The roots that a control plane publishes; None while it does not."""
    data = config_map.data if config_map else {}
    domain, bundle = data.get(names.TRUST_DOMAIN_KEY, "").strip(), data.get(names.TRUST_ROOTS_KEY, "").strip()
    return Roots(domain, bundle + "\n") if domain and bundle else None


def registration(own: Roots, cluster_name: str) -> Object:
    """The object that a linking cluster puts into its target."""
    return {
        "metadata": {"name": own.trust_domain, "namespace": names.MULTICLUSTER_NAMESPACE},
        "spec": {"trustDomain": own.trust_domain, "bundle": own.bundle, "clusterName": cluster_name},
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the target takes a registration, and why."""

    reason: str
    message: str

    @property
    def accepted(self) -> bool:
        return ACCEPTED[self.reason]


def judge(registrations: Iterable[Object], own_domain: str) -> dict[Key, Verdict]:
    """A verdict for each registration. The oldest valid one of a domain wins, so nobody can take a domain over."""
    verdicts: dict[Key, Verdict] = {}
    claimed: dict[str, str] = {}
    for item in sorted(registrations, key=_age):
        spec: Mapping[str, Any] = item.get("spec") or {}
        domain, name = str(spec.get("trustDomain", "")), key_of(item)[1]
        verdict = _content(domain, str(spec.get("bundle", "")), own_domain)
        if verdict.accepted and domain in claimed:
            verdict = Verdict("AlreadyClaimed", f"{claimed[domain]} has registered trust domain {domain} before.")
        if verdict.accepted:
            claimed[domain] = name
        verdicts[key_of(item)] = verdict
    return verdicts


def _age(item: Object) -> tuple[str, Key]:
    return (item.get("metadata") or {}).get("creationTimestamp") or "", key_of(item)


def _content(domain: str, bundle: str, own_domain: str) -> Verdict:
    if not _DOMAIN.fullmatch(domain):
        return Verdict("InvalidTrustDomain", f"{domain[:255]!r} is not a trust domain.")
    if domain == own_domain:
        return Verdict("OwnTrustDomain", f"{domain} is this cluster's own trust domain; nobody else speaks for it.")
    if len(bundle) > MAX_BUNDLE:
        return Verdict("BundleTooLarge", f"The bundle has {len(bundle)} bytes; {MAX_BUNDLE} are accepted.")
    if problem := bundle_problem(bundle):
        return Verdict("InvalidBundle", problem)
    return Verdict("Accepted", f"Workloads of trust domain {domain} are recognised.")


def bundle_problem(bundle: str) -> str | None:
    """Why a PEM bundle cannot vouch for a trust domain, None if it can."""
    try:
        certificates = x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        return "The bundle holds no readable PEM certificates."
    if len(certificates) > MAX_ROOTS:
        return f"The bundle has {len(certificates)} certificates; {MAX_ROOTS} are accepted."
    for certificate in certificates:
        if not _is_authority(certificate):
            return f"{certificate.subject.rfc4514_string() or 'A certificate'} is not a certificate authority."
    return None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def acceptance(verdict: Verdict, previous: Mapping[str, Any], *, now: str) -> Object:
    """The status of a registration; equal to the previous one when nothing changed."""
    status = "True" if verdict.accepted else "False"
    before: Mapping[str, Any] = next((c for c in previous.get("conditions") or () if c.get("type") == "Accepted"), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    condition = {
        "type": "Accepted",
        "status": status,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": since or now,
    }
    return {"conditions": [condition], "accepted": status, "reason": verdict.reason}
