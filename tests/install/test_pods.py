"""Every pod that an installation starts, with all that it may do on its node."""

from typing import Any

import pytest

from isthmus.injector import containers
from isthmus.injector.config import Config
from isthmus.install import certificates, controlplane, multicluster, schema, values
from isthmus.install.multicluster_values import MulticlusterValues
from isthmus.install.values import InstallValues

NO_PRIVILEGE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
SEEN_BY_THE_NODE = ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "runtimeClassName", "shareProcessNamespace")
HARMLESS = {"configMap", "secret", "projected", "emptyDir", "downwardAPI"}


def templates() -> dict[str, Any]:
    """The pod templates by name; `injected` is what every meshed pod gets."""
    made = InstallValues(certificates=certificates.fresh(cluster_domain="cluster.local"))
    objects = [*controlplane.manifests(made), *multicluster.manifests(MulticlusterValues())]
    found = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]
        for item in objects
        if "template" in item.get("spec", {})
    }
    config = Config(trust_domain="td", trust_anchors="")
    both = [containers.init_container({}, config), containers.proxy_container({}, config)]
    return {**found, "injected": {"containers": both, "volumes": containers.volumes()}}


TEMPLATES = templates()
CONTAINERS = {
    (pod, container["name"]): (template, container)
    for pod, template in TEMPLATES.items()
    for container in template["containers"]
}


def test_these_are_all_the_containers_and_the_accounts_they_run_as() -> None:
    seen = {
        f"{pod}/{name}": (template.get("serviceAccountName"), container["securityContext"]["runAsUser"])
        for (pod, name), (template, container) in CONTAINERS.items()
    }
    assert seen == {
        "linkerd-identity/identity": ("linkerd-identity", 2103),
        "linkerd-destination/destination": ("linkerd-destination", 2103),
        "linkerd-proxy-injector/proxy-injector": ("linkerd-proxy-injector", 2103),
        "linkerd-multicluster-controller/multicluster-controller": ("linkerd-multicluster-controller", 2103),
        "linkerd-gateway/pause": ("linkerd-gateway", 65535),
        "injected/linkerd-init": (None, 0),
        "injected/linkerd-proxy": (None, 2102),
    }


@pytest.mark.parametrize("which", CONTAINERS, ids="/".join)
def test_only_the_init_container_is_root_and_it_may_only_change_its_pods_network(which: tuple[str, str]) -> None:
    template, container = CONTAINERS[which]
    context = container["securityContext"]
    profile = context.get("seccompProfile") or template["securityContext"]["seccompProfile"]
    assert profile == {"type": "RuntimeDefault"}
    assert not context.get("privileged")
    if which[1] == "linkerd-init":
        assert context["capabilities"] == {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}
        assert not context["allowPrivilegeEscalation"]
        assert context["readOnlyRootFilesystem"]
        return
    assert context.items() >= NO_PRIVILEGE.items()
    assert context["runAsNonRoot"]


@pytest.mark.parametrize("pod", TEMPLATES)
def test_no_pod_sees_anything_of_its_node(pod: str) -> None:
    template = TEMPLATES[pod]
    assert not [name for name in SEEN_BY_THE_NODE if name in template]
    kinds = {key for volume in template.get("volumes", ()) for key in volume if key != "name"}
    assert kinds <= HARMLESS
    assert not [port for each in template["containers"] for port in each.get("ports", ()) if "hostPort" in port]


def test_the_control_planes_namespace_enforces_the_strictest_standard_and_the_extensions_lets_the_proxy_in() -> None:
    made = InstallValues(certificates=certificates.fresh(cluster_domain="cluster.local"))
    spaces = [*controlplane.manifests(made), *multicluster.manifests(MulticlusterValues())]
    enforced = {
        item["metadata"]["name"]: item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for item in spaces
        if item["kind"] == "Namespace"
    }
    assert enforced == {"linkerd": "restricted", "linkerd-multicluster": "privileged"}


# --- high availability --------------------------------------------------------------------------------------------
def available() -> list[Any]:
    tree = schema.merge(InstallValues, schema.tree(InstallValues), values.HIGH_AVAILABILITY)
    material = certificates.fresh(cluster_domain="cluster.local")
    return controlplane.manifests(schema.from_tree(InstallValues, tree, certificates=material))


AVAILABLE = available()


@pytest.mark.parametrize("name", ["linkerd-identity", "linkerd-destination", "linkerd-proxy-injector"])
def test_high_availability_keeps_two_of_three_pods_through_a_drain_and_the_loss_of_a_node(name: str) -> None:
    found = {item["kind"]: item["spec"] for item in AVAILABLE if item["metadata"]["name"] == name and "spec" in item}
    deployment, budget = found["Deployment"], found["PodDisruptionBudget"]
    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 1
    assert budget == {"maxUnavailable": 1, "selector": deployment["selector"]}
    labels = deployment["template"]["metadata"]["labels"]
    rules = deployment["template"]["spec"]["affinity"]["podAntiAffinity"]
    (apart,) = rules["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert apart["labelSelector"]["matchLabels"].items() <= labels.items()
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_with_high_availability_no_pod_starts_without_its_proxy_and_proxies_ask_for_resources() -> None:
    (webhook,) = (item for item in AVAILABLE if item["kind"] == "MutatingWebhookConfiguration")
    assert [each["failurePolicy"] for each in webhook["webhooks"]] == ["Fail", "Fail"]
    deployments = {item["metadata"]["name"]: item for item in AVAILABLE if item["kind"] == "Deployment"}
    (container,) = deployments["linkerd-proxy-injector"]["spec"]["template"]["spec"]["containers"]
    assert {"--proxy-cpu-request=100m", "--proxy-memory-request=20Mi", "--proxy-memory-limit=250Mi"} <= {
        *container["args"]
    }


def test_a_proxy_has_the_installations_resources_unless_its_pod_says_otherwise() -> None:
    config = Config(trust_domain="td", trust_anchors="", proxy_cpu_request="100m", proxy_memory_limit="250Mi")
    proxy = containers.proxy_container({"config.linkerd.io/proxy-memory-limit": "1Gi"}, config)
    assert proxy["resources"] == {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}
    assert containers.proxy_container({}, config)["resources"]["limits"] == {"memory": "250Mi"}


def test_ports_that_the_installation_skips_are_skipped_unless_the_pod_says_otherwise() -> None:
    config = Config(trust_domain="td", trust_anchors="", skip_inbound_ports="1-5", skip_outbound_ports="25")
    arguments = containers.init_container({"config.linkerd.io/skip-outbound-ports": "26"}, config)["args"]
    assert {"--inbound-ports-to-ignore=1-5", "--outbound-ports-to-ignore=26"} <= {*arguments}
