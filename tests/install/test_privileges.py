"""No account that we ship can do more than its program does."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from isthmus.install import certificates, controlplane, multicluster, viz
from isthmus.install.multicluster import MulticlusterValues
from isthmus.install.values import InstallValues
from isthmus.install.viz_values import VizValues
from isthmus.install.viz_web import LINKING_ACCOUNTS

REMOTE = "linkerd-service-mirror-remote-access-default"
ESCALATION = {"escalate", "bind", "impersonate", "approve", "sign", "deletecollection"}
"""Verbs by which an account can become another one, or delete without looking."""
NEVER_WRITTEN = {
    "pods", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "nodes/proxy", "services/proxy",
    "deployments", "daemonsets", "jobs", "secrets", "serviceaccounts", "serviceaccounts/token", "configmaps",
    "roles", "rolebindings", "clusterroles", "clusterrolebindings", "mutatingwebhookconfigurations",
    "customresourcedefinitions", "namespaces", "links",
}  # fmt: skip
"""Whoever writes these can run code, or give itself more."""

WRITTEN_ALL_THE_SAME = {
    # The finalizer of a Link is put on and taken off; credentials are renewed.
    ("linkerd-multicluster-controller", "links"): {"patch"},
    ("linkerd-multicluster-controller", "secrets"): {"patch"},
    # What it remembers of linked clusters: see below.
    ("linkerd-destination", "configmaps"): {"patch"},
    # Its own next token, and nobody else's: see below.
    (REMOTE, "serviceaccounts/token"): {"create"},
}


@dataclass(frozen=True)
class Grant:
    """What one account may do, in one namespace or (`*`) everywhere."""

    account: str
    namespace: str
    resource: str
    verbs: frozenset[str]
    names: tuple[str, ...]


def grants() -> Iterator[Grant]:
    values = InstallValues(certificates=certificates.fresh(cluster_domain="cluster.local"))
    objects = [
        *controlplane.manifests(values),
        *multicluster.manifests(MulticlusterValues(trust_domain="td")),
        *viz.manifests(VizValues()),
    ]
    roles = {key(item): item for item in objects if item["kind"] in ("Role", "ClusterRole")}
    for binding in objects:
        if not binding["kind"].endswith("Binding"):
            continue
        namespace = binding["metadata"].get("namespace", "*")
        role = roles[binding["roleRef"]["kind"], "" if namespace == "*" else namespace, binding["roleRef"]["name"]]
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount" or subject["name"] == LINKING_ACCOUNTS
            for rule in role["rules"]:
                yield from granted(subject["name"], namespace, rule)


def key(item: Any) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def granted(account: str, namespace: str, rule: Any) -> Iterator[Grant]:
    assert "nonResourceURLs" not in rule
    for resource in rule["resources"]:
        names = tuple(rule.get("resourceNames", ()))
        yield Grant(account, namespace, resource, frozenset(rule["verbs"]), names)


ALL = list(grants())


@pytest.mark.parametrize("grant", ALL, ids=lambda grant: f"{grant.account}:{grant.namespace}:{grant.resource}")
def test_nobody_may_do_anything_or_become_somebody_else(grant: Grant) -> None:
    assert "*" not in grant.verbs | {grant.resource}
    assert not grant.verbs & ESCALATION
    if grant.resource in NEVER_WRITTEN:
        allowed = {"get", "list", "watch"}
        assert grant.verbs <= allowed | WRITTEN_ALL_THE_SAME.get((grant.account, grant.resource), set())


def test_secrets_are_read_only_beside_the_links_that_name_them() -> None:
    """Above all nobody reads those of the control plane, with the key that signs every identity."""
    readers = {(grant.account, grant.namespace) for grant in ALL if grant.resource == "secrets"}
    assert readers == {
        ("linkerd-multicluster-controller", "linkerd-multicluster"),
        ("linkerd-destination", "linkerd-multicluster"),
        ("web", "linkerd-multicluster"),
    }
    writers = {
        (grant.account, grant.namespace) for grant in ALL if grant.resource == "secrets" and "patch" in grant.verbs
    }
    assert writers == {("linkerd-multicluster-controller", "linkerd-multicluster")}


def test_destination_writes_one_config_map_and_nothing_else() -> None:
    (written,) = [
        grant for grant in ALL if grant.account == "linkerd-destination" and not grant.verbs <= {"get", "list", "watch"}
    ]
    assert (written.namespace, written.resource) == ("linkerd", "configmaps")
    assert (written.names, "patch" in written.verbs) == (("linkerd-destination-remote-endpoints",), True)


def test_the_gateway_has_no_permission_at_all_and_identity_and_injector_one_each() -> None:
    by_account = {
        account: {(grant.resource, *sorted(grant.verbs)) for grant in ALL if grant.account == account}
        for account in ("linkerd-gateway", "linkerd-identity", "linkerd-proxy-injector")
    }
    assert by_account == {
        "linkerd-gateway": set(),
        "linkerd-identity": {("tokenreviews", "create")},
        "linkerd-proxy-injector": {("namespaces", "get")},
    }


def test_a_linking_cluster_reads_what_it_mirrors_and_registers_its_roots() -> None:
    found = {(grant.namespace, grant.resource, *sorted(grant.verbs)) for grant in ALL if grant.account == REMOTE}
    assert found == {
        ("*", "services", "list", "watch"),
        ("*", "endpointslices", "list", "watch"),
        ("*", "pods", "get", "list"),
        ("linkerd", "configmaps", "list", "watch"),
        ("linkerd-multicluster", "federatedtrustdomains", "create", "delete", "get", "patch"),
        ("linkerd-multicluster", "serviceaccounts/token", "create"),
    }
    accounts = [grant.names for grant in ALL if grant.resource == "serviceaccounts/token"]
    assert accounts == [(REMOTE,)]
    configmaps = [grant.names for grant in ALL if grant.account == REMOTE and grant.resource == "configmaps"]
    assert configmaps == [("linkerd-identity-trust-roots",)]


def test_linking_clusters_may_ask_the_metrics_api_and_the_page_may_list_no_secret() -> None:
    (shared,) = [grant for grant in ALL if grant.account == LINKING_ACCOUNTS]
    assert (shared.namespace, shared.resource, shared.verbs) == ("linkerd-viz", "services/proxy", {"get"})
    assert shared.names == ("metrics-api:8085",)
    assert [grant.verbs for grant in ALL if grant.account == "web"] == [{"get"}]


def test_only_the_controller_writes_verdicts() -> None:
    writers = {grant.account for grant in ALL if grant.resource in ("federatedtrustdomains/status", "links/status")}
    assert writers == {"linkerd-multicluster-controller"}


def test_who_tells_numbers_reads_pods_and_their_owners_and_nothing_else() -> None:
    found = {(grant.resource, *sorted(grant.verbs)) for grant in ALL if grant.account == "metrics-api"}
    kinds = ("configmaps", "jobs", "links", "namespaces", "pods", "services", "trafficsplits")
    assert found == {(kind, "list", "watch") for kind in kinds}
    (roots,) = [grant for grant in ALL if (grant.account, grant.resource) == ("metrics-api", "configmaps")]
    assert (roots.namespace, roots.names) == ("linkerd", ("linkerd-identity-trust-roots",))
    assert not [grant for grant in ALL if grant.account == "prometheus"]
