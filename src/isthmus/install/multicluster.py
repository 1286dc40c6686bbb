"""What `linkerd multicluster install` prints: the gateway, the Link controller, and an account for linking clusters."""

import json
from typing import Any, Final

from isthmus import names
from isthmus.install import crds, rbac
from isthmus.install.extension import EXTENSION, account, metadata, namespace
from isthmus.install.multicluster_values import MulticlusterValues
from isthmus.install.remote_access import remote_access
from isthmus.install.template import Lookup, When, prune, when, when_more_than_one
from isthmus.install.workloads import Component, Manifest, Placement, deployment, merged
from isthmus.install.workloads import disruption_budget as budget

GATEWAY_SELECTOR: Final = {"component": names.GATEWAY}
"""A Deployment's selector never changes, so this is exactly the one that published gateway manifests carry."""
CONTROLLER_COMPONENT: Final = "multicluster-controller"
API_PORTS: Final = "443,6443"
"""API servers are reached without the proxy: a Link must heal even where the data plane is broken."""

MOST_REGISTRATIONS: Final = 200


def manifests(values: MulticlusterValues) -> list[Manifest]:
    """Every object, in the order in which it can be applied."""
    made: list[Manifest] = prune(objects(values))
    return made


def objects(values: MulticlusterValues) -> list[Manifest | When]:
    """The same as it depends on values: what is conditional is marked as such where the values are lookups."""
    access = remote_access(values.remote_access_account, namespace=values.namespace)
    return [
        namespace(values.namespace),
        *crds.multicluster(),
        registrations_quota(values),
        *controller(values),
        *(_with_gateway(values, item) for item in gateway(values)),
        *(when(values.remote_access, item) for item in access),
    ]


def _with_gateway(values: MulticlusterValues, item: Any) -> Any:
    if isinstance(item, When) and isinstance(values.gateway, Lookup):
        return When([f"and {values.gateway.expression} ({each})" for each in item.conditions], item.content)
    return when(values.gateway, item)


# --- gateway ------------------------------------------------------------------------------------------------------
def gateway(values: MulticlusterValues) -> list[Manifest | When]:
    """A pod that is nothing but its proxy, and the Service through which linked clusters reach it."""
    return [
        account(names.GATEWAY, namespace=values.namespace),
        gateway_deployment(values),
        gateway_service(values),
        when_more_than_one(values.gateway_replicas, disruption_budget(values)),
    ]


def gateway_deployment(values: MulticlusterValues) -> Manifest:
    labels = {"app": names.GATEWAY, **GATEWAY_SELECTOR}
    pod: dict[str, Any] = {
        "serviceAccountName": names.GATEWAY,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": when(values.gateway_node_selector, values.gateway_node_selector),
        "tolerations": when(values.gateway_tolerations, values.gateway_tolerations),
        "imagePullSecrets": when(values.image_pull_secrets, values.image_pull_secrets),
        "affinity": when_more_than_one(values.gateway_replicas, spread_over_nodes()),
        "containers": [
            {
                "name": "pause",
                "image": f"{values.registry}/{names.PAUSE_IMAGE}:{values.version}",
                "imagePullPolicy": values.image_pull_policy,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "runAsUser": 65535,
                },
            }
        ],
    }
    annotations = {names.INJECT_ANNOTATION: "enabled", names.ENABLE_GATEWAY_ANNOTATION: "true"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(names.GATEWAY, values.namespace, labels=labels),
        "spec": {
            "replicas": values.gateway_replicas,
            "selector": {"matchLabels": GATEWAY_SELECTOR},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": EXTENSION | labels, "annotations": annotations},
                "spec": pod,
            },
        },
    }


def spread_over_nodes() -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": GATEWAY_SELECTOR}, "topologyKey": "kubernetes.io/hostname"}
    preferred = {"weight": 100, "podAffinityTerm": term}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}


def disruption_budget(values: MulticlusterValues) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(names.GATEWAY, values.namespace),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": GATEWAY_SELECTOR}},
    }


def gateway_service(values: MulticlusterValues) -> Manifest:
    """Only the tunnel port is exposed: probes go through it, so the proxy's admin port stays private."""
    annotations = {
        names.GATEWAY_IDENTITY_ANNOTATION: values.gateway_identity,
        "mirror.linkerd.io/probe-period": str(values.gateway_probe_seconds),
        "mirror.linkerd.io/probe-path": "/ready",
        "mirror.linkerd.io/multicluster-gateway": "true",
    }
    port = {
        "name": "mc-gateway",
        "port": values.gateway_port,
        "protocol": "TCP",
        "targetPort": names.INBOUND_PORT,
        "nodePort": when(values.gateway_node_port, values.gateway_node_port),
    }
    balancer = values.gateway_load_balancer_sources
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            **metadata(names.GATEWAY, values.namespace),
            "annotations": merged(annotations, values.gateway_service_annotations),
        },
        "spec": {
            "type": values.gateway_service_type,
            "selector": GATEWAY_SELECTOR,
            "ports": [port],
            "externalTrafficPolicy": when(values.gateway_traffic_policy, values.gateway_traffic_policy),
            "loadBalancerIP": when(values.gateway_load_balancer_address, values.gateway_load_balancer_address),
            "loadBalancerClass": when(values.gateway_load_balancer_class, values.gateway_load_balancer_class),
            "loadBalancerSourceRanges": when(balancer, balancer),
        },
    }


# --- Link controller ----------------------------------------------------------------------------------------------
def controller(values: MulticlusterValues) -> list[Manifest | When]:
    """One controller for every Link; it runs before the first Link exists."""
    component = Component(
        name=names.MULTICLUSTER_CONTROLLER,
        component=CONTROLLER_COMPONENT,
        args=(
            CONTROLLER_COMPONENT,
            f"--namespace={values.namespace}",
            f"--linkerd-namespace={values.linkerd_namespace}",
            f"--cluster-domain={values.cluster_domain}",
            f"--log-level={values.log_level}",
            f"--enable-headless-services={written(values.enable_headless_services)}",
            f"--enable-namespace-creation={written(values.enable_namespace_creation)}",
            f"--local-excluded-labels={values.local_excluded_labels}",
            f"--local-excluded-annotations={values.local_excluded_annotations}",
        ),
        image=f"{values.registry}/{names.CONTROLLER_IMAGE}:{values.version}",
        image_pull_policy=values.image_pull_policy,
        replicas=values.controller_replicas,
        resources=values.controller_resources,
        placement=Placement(image_pull_secrets=values.image_pull_secrets),
        ports={},
        annotations={
            names.INJECT_ANNOTATION: "enabled",
            names.SKIP_OUTBOUND_PORTS_ANNOTATION: API_PORTS,
        },
    )
    made = deployment(component, namespace=values.namespace)
    return [
        account(names.MULTICLUSTER_CONTROLLER, namespace=values.namespace),
        *controller_roles(values),
        made,
        when_more_than_one(values.controller_replicas, budget(component, namespace=values.namespace)),
    ]


def written(value: bool) -> str:
    return value if isinstance(value, Lookup) else json.dumps(value)


def controller_roles(values: MulticlusterValues) -> list[Manifest]:
    name = names.MULTICLUSTER_CONTROLLER
    subject = values.namespace
    change = ["create", "patch", "delete"]
    return [
        *rbac.cluster_role(
            f"linkerd-{name}",
            name,
            namespace=subject,
            rules=[
                rbac.rule([""], ["services"], [*rbac.FOLLOW, *change]),
                rbac.rule(["discovery.k8s.io"], ["endpointslices"], [*rbac.FOLLOW, *change]),
                rbac.rule([""], ["namespaces"], [*rbac.FOLLOW, when(values.enable_namespace_creation, "create")]),
                rbac.rule([""], ["events"], ["create", "patch"]),
                rbac.rule(names.ROUTE_GROUPS, ["httproutes"], rbac.FOLLOW),
                rbac.rule(names.ROUTE_GROUPS, ["httproutes/status"], ["patch"]),
            ],
        ),
        *rbac.role(
            name,
            name,
            namespace=values.namespace,
            rules=[
                rbac.rule([names.LINK_GROUP], ["links"], [*rbac.FOLLOW, "patch"]),
                rbac.rule([names.LINK_GROUP], ["links/status"], ["patch"]),
                rbac.rule([names.FEDERATION_GROUP], ["federatedtrustdomains"], rbac.FOLLOW),
                rbac.rule([names.FEDERATION_GROUP], ["federatedtrustdomains/status"], ["patch"]),
                rbac.rule([""], ["secrets"], [*rbac.FOLLOW, "patch"]),
                rbac.rule(["coordination.k8s.io"], ["leases"], ["create"]),
                rbac.rule(["coordination.k8s.io"], ["leases"], ["get", "patch"], only=[name]),
            ],
        ),
        *control_plane_role(values),
        *credentials_role(values),
    ]


def credentials_role(values: MulticlusterValues) -> list[Manifest]:
    """What follows the endpoints of linked clusters reads the credentials here, beside the Links that name them."""
    role, binding = rbac.role(
        names.DESTINATION_DEPLOYMENT,
        names.DESTINATION_DEPLOYMENT,
        namespace=values.namespace,
        rules=[rbac.rule([""], ["secrets"], rbac.FOLLOW)],
    )
    subjects = [{"kind": "ServiceAccount", "namespace": values.linkerd_namespace, "name": names.DESTINATION_DEPLOYMENT}]
    return [role, {**binding, "subjects": subjects}]


def control_plane_role(values: MulticlusterValues) -> list[Manifest]:
    """In the control-plane namespace: read the own trust roots."""
    name = names.MULTICLUSTER_CONTROLLER
    role, binding = rbac.role(
        name,
        name,
        namespace=values.linkerd_namespace,
        rules=[
            rbac.rule([""], ["configmaps"], rbac.FOLLOW, only=[names.TRUST_ROOTS_CONFIG_MAP]),
        ],
    )
    subjects = [{"kind": "ServiceAccount", "namespace": values.namespace, "name": name}]
    return [role, {**binding, "subjects": subjects}]


def registrations_quota(values: MulticlusterValues) -> Manifest:
    """Linking clusters write registrations: no more of them than every controller and proxy can bear."""
    counted = f"count/federatedtrustdomains.{names.FEDERATION_GROUP}"
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata("federatedtrustdomains", values.namespace),
        "spec": {"hard": {counted: str(MOST_REGISTRATIONS)}},
    }
