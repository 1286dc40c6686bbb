"""Registers this cluster's roots with a linked cluster, and keeps the registration true."""

import time
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus import names
from isthmus.kube import errors, pki
from isthmus.kube.client import Client
from isthmus.kube.kinds import Object
from isthmus.kube.watch import Signal
from isthmus.multicluster import acceptance, trust
from isthmus.multicluster.objects import FEDERATED_TRUST_DOMAINS
from isthmus.multicluster.remote import Remote
from isthmus.multicluster.status import Condition

_LOOK_AGAIN: Final = 60.0
_PENDING: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between looks while the target has not decided, and between tries."""
_PATIENCE: Final = 4.0
"""Seconds in which a target that is well has decided."""
_KIND: Final = "TrustEstablished"


class Registration:
    """`condition` and `domain` say how it stands; `changed` is set when they change."""

    def __init__(self, remote: Remote, own: Callable[[], trust.Roots | None], changed: Signal) -> None:
        self._remote = remote
        self._own = own
        self._changed = changed
        self.condition = Condition(_KIND, "Pending", "The clusters are exchanging their roots.")
        self.domain = ""
        """The own trust domain as registered there."""
        self.roots = ""
        """Fingerprints of the own roots that count there."""
        self.accepted: Callable[[], str] = lambda: ""
        """Fingerprints of the target's roots that count here; it is told which."""
        self.owner: Object | None = None
        """The target's account that this cluster uses there."""
        self.on_registered: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Keep it true until cancelled: at every change of either cluster's roots, and now and then."""
        tries, began = 0, time.monotonic()
        while True:
            before = self.roots
            condition = await self._step()
            if condition.reason == "Undecided" and time.monotonic() - began < _PATIENCE:
                condition = Condition(_KIND, "Pending", condition.message)
            elif condition.reason != "Undecided":
                began = time.monotonic()
            tries = 0 if condition.reason == "Established" else tries + 1
            if (condition, self.roots) != (self.condition, before):
                self.condition = condition
                self._changed.set()
            pause = _PENDING[min(tries, len(_PENDING)) - 1] if tries else _LOOK_AGAIN
            await self._remote.roots_changed.wait(pause)

    async def _step(self) -> Condition:
        own, theirs, link = self._own(), self._remote.roots, self._remote.link
        if theirs is None:
            if not self._remote.roots_known:
                return Condition(_KIND, "Pending", f"The roots of {link.target} are being read.")
            return Condition(
                _KIND,
                "RootsUnavailable",
                f"{link.target} has no ConfigMap {link.linkerd_namespace}/{names.TRUST_ROOTS_CONFIG_MAP} with a trust "
                "domain. Install the control plane there.",
            )
        if own is None:
            return Condition(_KIND, "Pending", "The control plane of this cluster has not published its roots yet.")
        if own.trust_domain == theirs.trust_domain:
            return _same_domain(own, theirs, link.target)
        try:
            registered = await register(
                self._remote.client, own, link.target, accepted=self.accepted(), owner=self.owner
            )
        except errors.Unreachable:
            return Condition(
                _KIND, "Pending", f"Not known while {link.target} does not answer. What was agreed goes on to count."
            )
        except errors.KubeError as error:
            return Condition(
                _KIND,
                "RegistrationFailed",
                f"{str(error).rstrip('.')}. Install or renew the multicluster extension in {link.target} with "
                "`linkerd multicluster install`.",
            )
        self.domain = own.trust_domain
        self.roots = acceptance.fingerprints(str((registered.get("status") or {}).get("bundle") or ""))
        self.on_registered()
        return _accepted(registered, own, theirs, link.target)


def _same_domain(own: trust.Roots, theirs: trust.Roots, target: str) -> Condition:
    if _fingerprints(own) & _fingerprints(theirs):
        return Condition(_KIND, "Established", f"Both clusters share trust domain {own.trust_domain} and a root.")
    return Condition(
        _KIND,
        "RegistrationRefused",
        f"{target} uses trust domain {own.trust_domain} as this cluster does, but shares no root with it. Give one of "
        "them a trust domain of its own with `linkerd install --identity-trust-domain`.",
    )


def _fingerprints(roots: trust.Roots) -> frozenset[bytes]:
    try:
        certificates = x509.load_pem_x509_certificates(roots.bundle.encode())
    except pki.UNREADABLE:
        return frozenset()
    return frozenset(certificate.public_bytes(Encoding.DER) for certificate in certificates)


def _accepted(registered: Object, own: trust.Roots, theirs: trust.Roots, target: str) -> Condition:
    conditions = (registered.get("status") or {}).get("conditions") or ()
    verdict = next((item for item in conditions if item.get("type") == "Accepted"), None)
    if verdict is None:
        return Condition(
            _KIND,
            "Undecided",
            f"{target} has not decided on the registration of {own.trust_domain}. That is done by its "
            f"deploy/{names.MULTICLUSTER_CONTROLLER}: run `linkerd multicluster check` in {target}.",
        )
    if verdict.get("status") != "True":
        return Condition(
            _KIND,
            "RegistrationRefused",
            f"{target} refuses trust domain {own.trust_domain}: {verdict.get('message') or verdict.get('reason')}",
        )
    if not acceptance.same(own.bundle, str((registered.get("status") or {}).get("bundle") or "")):
        return Condition(_KIND, "Pending", f"{target} has not decided on the new roots of {own.trust_domain} yet.")
    return Condition(_KIND, "Established", f"{target} ({theirs.trust_domain}) recognises {own.trust_domain}.")


async def register(
    client: Client, own: trust.Roots, target: str, *, accepted: str = "", owner: Object | None = None
) -> Object:
    """Make the registration say what it should; returns it as it stands."""
    desired = trust.registration(own, target, accepted=accepted, owner=owner)
    name, namespace = desired["metadata"]["name"], desired["metadata"]["namespace"]
    try:
        existing = await client.get(FEDERATED_TRUST_DOMAINS, name, namespace)
    except errors.NotFound:
        return await client.create(FEDERATED_TRUST_DOMAINS, desired)
    owners = desired["metadata"].get("ownerReferences") or []
    owned = (existing["metadata"].get("ownerReferences") or []) == owners
    if existing.get("spec") == desired["spec"] and owned:
        return existing
    change = {"metadata": {"ownerReferences": owners}, "spec": desired["spec"]}
    return await client.patch(FEDERATED_TRUST_DOMAINS, name, change, namespace)


async def unregister(client: Client, own: trust.Roots) -> None:
    """Withdraw the registration; fine if there is none."""
    try:
        await client.delete(FEDERATED_TRUST_DOMAINS, own.trust_domain, names.MULTICLUSTER_NAMESPACE)
    except errors.NotFound:
        return
