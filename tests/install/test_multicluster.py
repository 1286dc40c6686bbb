"""What `linkerd multicluster install` prints fits the tutorial's own manifests and grants no more than is needed."""

import pytest

from isthmus.install import crds
from isthmus.install.multicluster import MulticlusterValues, manifests
from isthmus.install.workloads import Manifest

VALUES = MulticlusterValues(trust_domain="east.example")


@pytest.fixture(scope="module")
def objects() -> list[Manifest]:
    return manifests(VALUES)


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def test_the_gateways_selector_is_the_one_of_published_gateway_manifests(objects: list[Manifest]) -> None:
    """`kubectl apply` of a Deployment with another selector is refused, for it cannot be changed."""
    gateway = one(objects, "Deployment", "linkerd-gateway")
    assert gateway["spec"]["selector"] == {"matchLabels": {"component": "linkerd-gateway"}}
    labels = gateway["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= {"app": "linkerd-gateway", "component": "linkerd-gateway"}.items()
    annotations = gateway["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"linkerd.io/inject": "enabled", "config.linkerd.io/enable-gateway": "true"}


def test_only_the_tunnel_port_is_public_and_the_service_says_who_answers(objects: list[Manifest]) -> None:
    service = one(objects, "Service", "linkerd-gateway")
    assert [port["port"] for port in service["spec"]["ports"]] == [4143]
    assert service["spec"]["selector"] == {"component": "linkerd-gateway"}
    assert service["metadata"]["annotations"]["mirror.linkerd.io/gateway-identity"] == (
        "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.east.example"
    )


def test_every_object_has_a_place_and_every_account_exists(objects: list[Manifest]) -> None:
    namespaced = {"Deployment", "Service", "ServiceAccount", "Secret", "Role", "RoleBinding"}
    assert all(item["metadata"].get("namespace") for item in objects if item["kind"] in namespaced)
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    assert len(keys) == len(set(keys))
    accounts = {item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"}
    accounts.add("linkerd-destination")  # of the control plane
    for item in objects:
        if item["kind"] == "Deployment":
            assert item["spec"]["template"]["spec"]["serviceAccountName"] in accounts
        if item["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            assert {subject["name"] for subject in item["subjects"]} <= accounts


def test_linking_clusters_cannot_fill_the_api_server_with_registrations(objects: list[Manifest]) -> None:
    quota = one(objects, "ResourceQuota", "federatedtrustdomains")
    assert quota["spec"]["hard"] == {"count/federatedtrustdomains.federation.isthmus.io": "200"}


def test_high_availability_spreads_gateways_and_keeps_them_through_a_drain() -> None:
    made = manifests(MulticlusterValues(trust_domain="td", gateway_replicas=3))
    gateway = one(made, "Deployment", "linkerd-gateway")
    assert gateway["spec"]["replicas"] == 3
    assert "podAntiAffinity" in gateway["spec"]["template"]["spec"]["affinity"]
    assert one(made, "PodDisruptionBudget", "linkerd-gateway")["spec"]["maxUnavailable"] == 1


def test_without_a_gateway_there_is_only_the_controller_and_the_account() -> None:
    made = manifests(MulticlusterValues(trust_domain="td", gateway=False))
    assert not [item for item in made if item["metadata"]["name"] == "linkerd-gateway"]
    assert one(made, "Deployment", "linkerd-multicluster-controller")


def test_links_of_every_published_version_are_served_and_one_is_stored() -> None:
    versions = crds.link()["spec"]["versions"]
    assert [(version["name"], version["storage"]) for version in versions] == [
        ("v1alpha1", False),
        ("v1alpha2", False),
        ("v1alpha3", True),
    ]
    assert all(version["served"] and version["subresources"] == {"status": {}} for version in versions)
    probe = versions[2]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["probeSpec"]["properties"]
    assert (probe["timeout"]["default"], probe["failureThreshold"]["default"]) == ("30s", "3")


def test_every_printer_column_shows_a_field_of_the_schema() -> None:
    for definition in crds.multicluster():
        for version in definition["spec"]["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            for column in version["additionalPrinterColumns"]:
                section, *path = column["jsonPath"].removeprefix(".").split(".")
                if section == "metadata":
                    continue
                node = schema["properties"][section]
                for part in path:
                    node = node["properties"][part]
