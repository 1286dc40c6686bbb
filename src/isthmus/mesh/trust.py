"""Whom proxies believe: which roots vouch for which trust domain, for servers and for clients."""

from collections.abc import Callable, Iterable

from isthmus import names
from isthmus.mesh.model import Trust, TrustBundle
from isthmus.mesh.state import State

Usable = Callable[[str], str | None]
"""Certificates in canonical form, None if the text holds none: one bad bundle must not take the good ones with it."""


def outbound(state: State, usable: Usable) -> Trust:
    """Servers of this cluster and of those it links to."""
    linked = ((link.trust_domain, link.trust_bundle) for link in state.links())
    return Trust(names.TRUST_OUTBOUND_SECRET, _bundles(state, linked, usable))


def inbound(state: State, usable: Usable, *, exposed: bool) -> Trust:
    """Clients of this cluster and, for what other clusters may reach, of those whose registration was accepted."""
    registered = ((each.status.trust_domain, each.status.bundle) for each in state.federated()) if exposed else ()
    bundles = _bundles(state, registered, usable)
    return Trust(names.TRUST_INBOUND_SECRET, tuple(_named(state, _with_issuer(state, bundle)) for bundle in bundles))


def _with_issuer(state: State, bundle: TrustBundle) -> TrustBundle:
    """Tells each proxy who signs now: a comment, which only the proxy's agent reads. Every proxy has this secret."""
    issuer = state.issuer()
    if bundle.trust_domain != state.trust_domain or not issuer:
        return bundle
    return TrustBundle(bundle.trust_domain, f"{names.ISSUER_COMMENT}{issuer}\n{bundle.roots}")


def _named(state: State, bundle: TrustBundle) -> TrustBundle:
    """Tells each proxy what a linked cluster is called here, for its metrics: a comment, too.

    What a cluster that only links to this one calls itself is not asked: it could take the name of another.
    """
    called = next((link.cluster for link in state.links() if link.trust_domain == bundle.trust_domain), "")
    if not called or bundle.trust_domain == state.trust_domain:
        return bundle
    return TrustBundle(bundle.trust_domain, f"{names.CLUSTER_COMMENT}{called}\n{bundle.roots}")


def _bundles(state: State, others: Iterable[tuple[str, str]], usable: Usable) -> tuple[TrustBundle, ...]:
    """One bundle for a domain: which claims count was decided before, and this cluster's own roots in any case."""
    found: dict[str, TrustBundle] = {}
    foreign = ((domain, roots) for domain, roots in others if domain and domain != state.trust_domain)
    for domain, roots in ((state.trust_domain, state.roots()), *foreign):
        if domain in found:
            continue
        canonical = usable(roots)
        if canonical is not None:
            found[domain] = TrustBundle(domain, canonical)
    return tuple(found[domain] for domain in sorted(found))
