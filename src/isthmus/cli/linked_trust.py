"""Which linked clusters do not believe this cluster's roots yet, as its own objects tell."""

from typing import TYPE_CHECKING

from isthmus import names
from isthmus.identity.rotation import Installed
from isthmus.kube import errors, pki
from isthmus.multicluster.objects import FEDERATED_TRUST_DOMAINS, LINKS

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

ADVICE = "see `linkerd multicluster check` there and here, or go on with --ignore-linked"


def unaware(client: "SyncClient", installed: Installed) -> list[str]:
    """A sentence for each linked cluster that has not accepted all the roots that this one is to have.

    Clusters that this one links to are known by the status of its Links; those that link to it say in their
    registrations which roots they accept. A cluster of the same trust domain has roots that its own operator changes.
    """
    wanted = {pki.fingerprint(root) for root in installed.staying}
    try:
        links = client.list(LINKS, names.MULTICLUSTER_NAMESPACE)
        registered = client.list(FEDERATED_TRUST_DOMAINS, names.MULTICLUSTER_NAMESPACE)
    except errors.NotFound:
        return []
    found = []
    for link in links:
        status = link.get("status") or {}
        domain, target = status.get("registeredTrustDomain"), link["spec"].get("targetClusterName")
        if domain and not wanted <= set(str(status.get("registeredRoots") or "").split(",")):
            found.append(f"cluster {target} has not accepted the new root yet: {ADVICE}")
        elif status.get("trustDomain") == installed.trust_domain:
            theirs = {pki.fingerprint(root) for root in pki.load_certificates(status.get("trustBundle") or "")}
            if not wanted <= theirs:
                found.append(f"cluster {target} shares the trust domain and must publish the new root too: {ADVICE}")
    for item in registered:
        accepted = set(str(item["spec"].get("acceptedRoots") or "").split(","))
        counts = (item.get("status") or {}).get("bundle")
        if counts and not wanted <= accepted:
            found.append(f"the cluster of {item['metadata']['name']} has not accepted the new root yet: {ADVICE}")
    return found
