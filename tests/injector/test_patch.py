"""What becomes of a new pod."""

import copy
import hashlib
from typing import Any

import pytest

from isthmus.injector.config import Config
from isthmus.injector.patch import Inject, Refuse, Skip, decide

CONFIG = Config(trust_domain="td.example", trust_anchors="the roots\n", cluster_domain="east.local", version="0.1.0")
POD: dict[str, Any] = {
    "metadata": {
        "generateName": "web-6d4b75cb6d-",
        "labels": {"app": "web", "pod-template-hash": "6d4b75cb6d"},
        "annotations": {"linkerd.io/inject": "enabled", "team": "shop"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4b75cb6d"}],
    },
    "spec": {
        "serviceAccountName": "web",
        "initContainers": [{"name": "migrate", "image": "migrate"}],
        "containers": [{"name": "web", "image": "web"}],
        "volumes": [{"name": "cache", "emptyDir": {}}],
    },
}


def annotated(**annotations: str) -> dict[str, Any]:
    """The pod with these annotations besides; `_` stands for `-`."""
    pod = copy.deepcopy(POD)
    names = {f"config.linkerd.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    pod["metadata"]["annotations"] |= names
    return pod


def decided(pod: dict[str, Any], **namespace: str) -> Inject | Skip | Refuse:
    annotations = {f"config.linkerd.io/{name.replace('_', '-')}": value for name, value in namespace.items()}
    return decide(pod, namespace="shop", namespace_annotations=annotations, config=CONFIG)


def patched(pod: dict[str, Any], **namespace: str) -> dict[str, Any]:
    """The pod after its patch, which only ever sets whole values."""
    decision = decided(pod, **namespace)
    assert isinstance(decision, Inject)
    result = copy.deepcopy(pod)
    for operation in decision.patch:
        assert operation["op"] == "add"
        _, parent, key = operation["path"].split("/")
        result.setdefault(parent, {})[key] = operation["value"]
    return result


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in pod["spec"]["initContainers"] if each["name"] == name)


def test_the_proxy_comes_first_and_everything_else_stays():
    pod = patched(POD)
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["linkerd-init", "linkerd-proxy", "migrate"]
    assert pod["spec"]["containers"] == POD["spec"]["containers"]
    volumes = [each["name"] for each in pod["spec"]["volumes"]]
    assert volumes == ["cache", "linkerd-identity-end-entity", "linkerd-identity-token"]
    assert pod["spec"]["serviceAccountName"] == "web"


def test_the_proxy_is_a_native_sidecar_that_holds_back_the_application_until_it_is_ready():
    proxy = container(patched(POD), "linkerd-proxy")
    assert proxy["restartPolicy"] == "Always"
    assert proxy["startupProbe"]["httpGet"] == {"path": "/ready", "port": 4191}
    assert proxy["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 4191}
    assert proxy["livenessProbe"]["httpGet"] == {"path": "/live", "port": 4191}
    assert proxy["image"] == "localhost/isthmus/proxy:0.1.0"
    assert proxy["securityContext"]["runAsUser"] == 2102
    assert proxy["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_environment_is_what_the_agent_reads():
    env = {each["name"]: each for each in container(patched(POD), "linkerd-proxy")["env"]}
    values = {name: each["value"] for name, each in env.items() if "value" in each}
    fields = {name: each["valueFrom"]["fieldRef"]["fieldPath"] for name, each in env.items() if "valueFrom" in each}
    assert values == {
        "ISTHMUS_TRUST_DOMAIN": "td.example",
        "ISTHMUS_TRUST_ANCHORS": "the roots\n",
        "ISTHMUS_IDENTITY_ADDR": "linkerd-identity.linkerd.svc.east.local:8080",
        "ISTHMUS_DESTINATION_ADDR": "linkerd-dst.linkerd.svc.east.local:8086",
        "ISTHMUS_LOG_LEVEL": "warn",
    }
    assert fields == {
        "ISTHMUS_POD_NAME": "metadata.name",
        "ISTHMUS_POD_NAMESPACE": "metadata.namespace",
        "ISTHMUS_POD_IP": "status.podIP",
        "ISTHMUS_SERVICE_ACCOUNT": "spec.serviceAccountName",
    }


def test_the_key_lives_in_memory_and_the_token_is_for_the_identity_service_only():
    *_, end_entity, token = patched(POD)["spec"]["volumes"]
    assert end_entity["emptyDir"] == {"medium": "Memory"}
    source = token["projected"]["sources"][0]["serviceAccountToken"]
    assert source["audience"] == "identity.l5d.io"
    mounts = {each["name"]: each["mountPath"] for each in container(patched(POD), "linkerd-proxy")["volumeMounts"]}
    assert mounts == {
        "linkerd-identity-end-entity": "/var/run/linkerd/identity/end-entity",
        "linkerd-identity-token": "/var/run/secrets/tokens",
    }


def test_labels_and_annotations_say_what_the_pod_is():
    metadata = patched(POD)["metadata"]
    assert metadata["labels"] == POD["metadata"]["labels"] | {
        "linkerd.io/control-plane-ns": "linkerd",
        "linkerd.io/workload-ns": "shop",
        "linkerd.io/proxy-deployment": "web",
    }
    assert metadata["annotations"] == POD["metadata"]["annotations"] | {
        "linkerd.io/proxy-version": "0.1.0",
        "linkerd.io/created-by": "linkerd/proxy-injector 0.1.0",
        "linkerd.io/trust-root-sha256": hashlib.sha256(b"the roots\n").hexdigest(),
    }


@pytest.mark.parametrize(
    ("owner", "label"),
    [
        ({"kind": "StatefulSet", "name": "db"}, {"linkerd.io/proxy-statefulset": "db"}),
        ({"kind": "DaemonSet", "name": "log"}, {"linkerd.io/proxy-daemonset": "log"}),
        ({"kind": "Job", "name": "once"}, {"linkerd.io/proxy-job": "once"}),
        ({"kind": "ReplicaSet", "name": "bare"}, {"linkerd.io/proxy-replicaset": "bare"}),
        ({"kind": "Unheard", "name": "of"}, {}),
        ({"kind": "StatefulSet", "name": "d" * 80}, {"linkerd.io/proxy-statefulset": "d" * 63}),
    ],
)
def test_the_owner_is_named_by_a_label(owner, label):
    pod = copy.deepcopy(POD)
    pod["metadata"]["ownerReferences"] = [owner]
    labels = patched(pod)["metadata"]["labels"]
    assert {name: value for name, value in labels.items() if name.startswith("linkerd.io/proxy-")} == label


def test_a_bare_pod_without_labels_or_volumes_can_be_injected():
    pod = patched({"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}, "spec": {"containers": []}})
    assert pod["metadata"]["labels"]["linkerd.io/workload-ns"] == "shop"
    assert len(pod["spec"]["volumes"]) == 2


@pytest.mark.parametrize(
    ("pod", "namespace", "injected"),
    [
        ({}, {}, False),
        ({}, {"linkerd.io/inject": "enabled"}, True),
        ({}, {"linkerd.io/inject": "disabled"}, False),
        ({"linkerd.io/inject": "enabled"}, {"linkerd.io/inject": "disabled"}, True),
        ({"linkerd.io/inject": "disabled"}, {"linkerd.io/inject": "enabled"}, False),
        ({"linkerd.io/inject": "ingress"}, {}, True),
    ],
)
def test_the_pods_word_counts_before_its_namespaces(pod, namespace, injected):
    decision = decide(
        POD | {"metadata": {"annotations": pod}}, namespace="shop", namespace_annotations=namespace, config=CONFIG
    )
    assert isinstance(decision, Inject) == injected


def test_pods_that_cannot_be_redirected_or_have_a_proxy_are_left_alone():
    assert decided(POD | {"spec": {**POD["spec"], "hostNetwork": True}}) == Skip(
        "it uses the host's network, which cannot be redirected for one pod"
    )
    assert decided(patched(POD)) == Skip("it has a proxy already")


def test_ports_to_skip_reach_the_init_container_and_replace_the_default():
    def arguments(pod: dict[str, Any]) -> dict[str, str]:
        return dict(each.split("=") for each in container(pod, "linkerd-init")["args"])

    default = arguments(patched(POD))
    assert default["--inbound-ports-to-ignore"] == default["--outbound-ports-to-ignore"] == "4567,4568"
    asked = arguments(patched(annotated(skip_inbound_ports="25,8000-8100"), skip_outbound_ports="3306"))
    assert asked["--inbound-ports-to-ignore"] == "25,8000-8100"
    assert asked["--outbound-ports-to-ignore"] == "3306"
    assert asked["--control-plane-ports"] == "4190,4191"


def test_what_others_read_from_the_pod_is_written_there_when_the_namespace_says_it():
    annotations = patched(POD, opaque_ports="5432", skip_inbound_ports="25", proxy_log_level="debug")["metadata"][
        "annotations"
    ]
    assert annotations["config.linkerd.io/opaque-ports"] == "5432"
    assert annotations["config.linkerd.io/skip-inbound-ports"] == "25"
    assert "config.linkerd.io/proxy-log-level" not in annotations


def test_resources_images_and_log_level_can_be_chosen():
    pod = annotated(
        proxy_cpu_request="100m",
        proxy_memory_limit="250Mi",
        proxy_image="registry.example:5000/proxy",
        proxy_version="1.2.3",
        proxy_log_level="warn,linkerd=debug",
    )
    proxy = container(patched(pod), "linkerd-proxy")
    assert proxy["resources"] == {"requests": {"cpu": "100m"}, "limits": {"memory": "250Mi"}}
    assert proxy["image"] == "registry.example:5000/proxy:1.2.3"
    assert {"name": "ISTHMUS_LOG_LEVEL", "value": "warn,linkerd=debug"} in proxy["env"]
    tagged = annotated(proxy_image="registry.example:5000/proxy:7")
    assert container(patched(tagged), "linkerd-proxy")["image"] == "registry.example:5000/proxy:7"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("skip_inbound_ports", "25,web", "'web' is neither a port nor a range of ports"),
        ("skip_outbound_ports", "90000", "90000 is not between 1 and 65535"),
        ("opaque_ports", "10-9", "ends before it begins"),
        ("enable_gateway", "yes", 'it must be "true" or "false"'),
        ("proxy_memory_limit", "lots", "it must be a quantity such as 250Mi"),
        ("proxy_image", "--privileged", "it must be the name of an image"),
    ],
)
def test_a_value_that_cannot_be_read_refuses_the_pod_and_names_it(name, value, words):
    for decision, where in ((decided(annotated(**{name: value})), "pod"), (decided(POD, **{name: value}), "namespace")):
        assert isinstance(decision, Refuse)
        assert f"the {where}'s annotation config.linkerd.io/{name.replace('_', '-')}: '{value}'" in decision.message
        assert words in decision.message


def test_an_unknown_word_for_inject_refuses_the_pod():
    pod = copy.deepcopy(POD)
    pod["metadata"]["annotations"]["linkerd.io/inject"] = "true"
    assert decided(pod) == Refuse("the annotation linkerd.io/inject: 'true' must be enabled or disabled")


def test_known_annotations_without_effect_are_warned_about():
    decision = decided(annotated(proxy_await="enabled"), close_wait_timeout="30s", admission_webhooks="enabled")
    assert isinstance(decision, Inject)
    assert decision.warnings == (
        "the annotation config.linkerd.io/close-wait-timeout has no effect: this version does not support it",
        "the annotation config.linkerd.io/proxy-await has no effect: this version does not support it",
    )


def test_a_namespace_can_ask_for_access_logs_of_all_its_pods():
    assert patched(POD, access_log="json")["metadata"]["annotations"]["config.linkerd.io/access-log"] == "json"
    assert isinstance(decided(annotated(access_log="xml")), Refuse)


@pytest.mark.parametrize(
    ("namespace", "component", "gateway"),
    [
        ("linkerd-multicluster", "linkerd-gateway", True),
        ("shop", "linkerd-gateway", False),
        ("linkerd-multicluster", "x", False),
    ],
)
def test_a_gateway_is_known_by_its_namespace_and_label_alone(namespace: str, component: str, gateway: bool):
    pod = copy.deepcopy(POD)
    pod["metadata"]["labels"]["component"] = component
    decision = decide(pod, namespace=namespace, namespace_annotations={}, config=CONFIG)
    assert isinstance(decision, Inject)
    annotations = next(each["value"] for each in decision.patch if each["path"] == "/metadata/annotations")
    assert (annotations.get("config.linkerd.io/enable-gateway") == "true") is gateway
