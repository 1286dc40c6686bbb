"""Trust between clusters that share no root: what each publishes, and what a linking cluster registers."""

from dataclasses import dataclass

from isthmus import names
from isthmus.kube.kinds import Object
from isthmus.resources.core import ConfigMap


@dataclass(frozen=True, slots=True)
class Roots:
    """A trust domain and the PEM roots that vouch for it."""

    trust_domain: str
    bundle: str
    lineage: str = ""
    """What proves that they follow from the root that the domain is named after; see `kube.lineage`."""


def roots(config_map: ConfigMap | None) -> Roots | None:
    """The roots that a control plane publishes; None while it does not."""
    data = config_map.data if config_map else {}
    domain, bundle = data.get(names.TRUST_DOMAIN_KEY, "").strip(), data.get(names.TRUST_ROOTS_KEY, "").strip()
    lineage = data.get(names.LINEAGE_KEY, "").strip()
    return Roots(domain, bundle + "\n", lineage) if domain and bundle else None


def registration(own: Roots, cluster_name: str, *, accepted: str = "", owner: Object | None = None) -> Object:
    """The object that a linking cluster puts into its target.

    `accepted` are fingerprints of the target's roots that the linking cluster believes: whoever rotates the target's
    roots sees by them that it may go on. `owner` is the account that the target gave to this cluster: when the target
    deletes it, the registration goes with it.
    """
    said = {name: text for name, text in (("acceptedRoots", accepted), ("lineage", own.lineage)) if text}
    return {
        "metadata": {
            "name": own.trust_domain,
            "namespace": names.MULTICLUSTER_NAMESPACE,
            **({"ownerReferences": [owner]} if owner else {}),
        },
        "spec": {"trustDomain": own.trust_domain, "bundle": own.bundle, "clusterName": cluster_name, **said},
    }
