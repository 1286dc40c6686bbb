"""What `linkerd install` prints is whole, consistent, and holds no more privilege than it needs."""

import base64

import pytest
import yaml

from isthmus.install import certificates, multicluster
from isthmus.install.controlplane import manifests
from isthmus.install.render import render
from isthmus.install.values import InstallValues
from isthmus.kube import pki
from isthmus.multicluster import selectors


@pytest.fixture(scope="module")
def objects():
    return manifests(InstallValues(certificates=certificates.fresh(cluster_domain="cluster.local")))


def by_kind(objects, kind):
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def test_every_install_has_a_root_and_a_trust_domain_of_its_own():
    east, west = (certificates.fresh(cluster_domain="cluster.local") for _ in range(2))
    assert east.trust_domain != west.trust_domain
    assert east.trust_domain == pki.trust_domain(east.trust_anchors, "cluster.local")
    assert east.trust_anchors != west.trust_anchors


def test_the_issuer_chains_to_the_root_and_the_roots_key_is_nowhere(objects):
    secret = by_kind(objects, "Secret")["linkerd-identity-issuer"]
    issuer = pki.load_certificates(base64.b64decode(secret["data"]["tls.crt"]).decode())[0]
    root_pem = by_kind(objects, "ConfigMap")["linkerd-identity-trust-roots"]["data"]["ca-bundle.crt"]
    issuer.verify_directly_issued_by(pki.load_certificates(root_pem)[0])
    assert render(objects).count("tls.key") == 2  # the issuer's and the webhook's, no root's


def test_keys_are_not_in_any_representation_of_the_values():
    made = certificates.fresh(cluster_domain="cluster.local")
    values = InstallValues(certificates=made)
    assert "PRIVATE KEY" not in repr(values)
    assert "PRIVATE KEY" not in str(values.public())


def test_every_account_a_workload_runs_as_exists_and_is_bound_by_name(objects):
    accounts = by_kind(objects, "ServiceAccount")
    for deployment in by_kind(objects, "Deployment").values():
        assert deployment["spec"]["template"]["spec"]["serviceAccountName"] in accounts
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in by_kind(objects, kind).values():
            assert {subject["name"] for subject in binding["subjects"]} <= accounts.keys()


def test_control_plane_containers_run_without_privilege(objects):
    for deployment in by_kind(objects, "Deployment").values():
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            context = container["securityContext"]
            assert context["runAsNonRoot"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"]


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        ("shop", {}, ["Ignore"]),
        ("linkerd-multicluster", {}, ["Fail"]),
        ("kube-system", {}, []),
        ("linkerd", {"config.linkerd.io/admission-webhooks": "disabled"}, []),
        ("linkerd-multicluster", {"config.linkerd.io/admission-webhooks": "disabled"}, []),
    ],
)
def test_each_pod_meets_the_injector_once_and_only_the_extensions_pods_wait_for_it(
    objects, namespace, labels, expected
):
    (configuration,) = by_kind(objects, "MutatingWebhookConfiguration").values()
    found = {"kubernetes.io/metadata.name": namespace, **labels}
    asked = [
        webhook["failurePolicy"]
        for webhook in configuration["webhooks"]
        if selectors.selects(webhook["namespaceSelector"], found)
    ]
    assert asked == expected


def test_services_lead_to_ports_that_containers_have(objects):
    templates = [d["spec"]["template"] for d in by_kind(objects, "Deployment").values()]
    for service in by_kind(objects, "Service").values():
        selector = service["spec"]["selector"].items()
        (template,) = (t for t in templates if selector <= t["metadata"]["labels"].items())
        named = {port["name"] for c in template["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_a_traffic_split_is_served_as_every_tool_writes_it_and_outlives_the_multicluster_extension(objects):
    definition = by_kind(objects, "CustomResourceDefinition")["trafficsplits.split.smi-spec.io"]
    versions = definition["spec"]["versions"]
    assert [version["name"] for version in versions if version["served"]] == [f"v1alpha{n}" for n in (1, 2, 3, 4)]
    assert [version["name"] for version in versions if version["storage"]] == ["v1alpha2"]
    schemas = [version["schema"] for version in versions]
    assert all(schema == schemas[0] for schema in schemas), "without conversion, all must admit what one wrote"
    assert definition["metadata"]["labels"] == {}
    extension = multicluster.manifests(multicluster.MulticlusterValues(trust_domain="td"))
    assert definition["metadata"]["name"] not in by_kind(extension, "CustomResourceDefinition")


def test_the_printed_yaml_reads_back_as_the_same_objects(objects):
    assert list(yaml.load_all(render(objects), Loader=yaml.CSafeLoader)) == objects


def test_a_given_issuer_that_is_no_pem_is_refused():
    root = pki.make_root("root")
    with pytest.raises(pki.CertificateError):
        certificates.given(
            trust_anchors=root.cert_pem,
            issuer_certificate="nonsense",
            issuer_key="",
            cluster_domain="cluster.local",
            trust_domain=None,
        )
