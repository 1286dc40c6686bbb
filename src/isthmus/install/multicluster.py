"""What `linkerd multicluster install` prints: the gateway, the Link controller, and an account for linking clusters."""

from dataclasses import dataclass
from typing import Any, Final

from isthmus import names
from isthmus.install import crds, rbac
from isthmus.install.template import prune
from isthmus.install.workloads import Component, Manifest, deployment

GATEWAY_SELECTOR: Final = {"component": names.GATEWAY}
"""A Deployment's selector never changes, so this is exactly the one that published gateway manifests carry."""
CONTROLLER_COMPONENT: Final = "multicluster-controller"
PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10"
EXTENSION: Final = {names.EXTENSION_LABEL: "multicluster"}
API_PORTS: Final = "443,6443"
"""API servers are reached without the proxy: a Link must heal even where the data plane is broken."""

MOST_REGISTRATIONS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MulticlusterValues:
    """What `linkerd multicluster install` was asked for."""

    trust_domain: str
    cluster_domain: str = "cluster.local"
    linkerd_namespace: str = names.CONTROL_PLANE_NAMESPACE
    namespace: str = names.MULTICLUSTER_NAMESPACE
    registry: str = names.DEFAULT_REGISTRY
    version: str = names.VERSION
    image_pull_policy: str = "IfNotPresent"
    log_level: str = "info"
    gateway: bool = True
    gateway_replicas: int = 1
    gateway_port: int = names.GATEWAY_PORT
    gateway_probe_seconds: int = 3
    gateway_probe_port: int = names.GATEWAY_PROBE_PORT
    gateway_service_type: str = "LoadBalancer"
    enable_headless_services: bool = True
    enable_namespace_creation: bool = False
    local_excluded_labels: str = ""
    local_excluded_annotations: str = ""
    remote_access: bool = True
    remote_access_account: str = names.REMOTE_ACCESS_ACCOUNT

    @property
    def gateway_identity(self) -> str:
        account = f"{names.GATEWAY}.{self.namespace}.serviceaccount.identity"
        return f"{account}.{self.linkerd_namespace}.{self.trust_domain}"


def manifests(values: MulticlusterValues) -> list[Manifest]:
    """Every object, in the order in which it can be applied."""
    made: list[Manifest] = prune(
        [
            namespace(values.namespace),
            *crds.multicluster(),
            registrations_quota(values),
            *controller(values),
            *(gateway(values) if values.gateway else ()),
            *(remote_access(values.remote_access_account, namespace=values.namespace) if values.remote_access else ()),
        ]
    )
    return made


def metadata(name: str, namespace: str = "", **extra: dict[str, str]) -> dict[str, Any]:
    labels = EXTENSION | extra.pop("labels", {})
    where = {"namespace": namespace} if namespace else {}
    return {"name": name, **where, "labels": labels, **extra}


def namespace(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata(name, labels={"pod-security.kubernetes.io/enforce": "privileged"}),
    }


def account(name: str, *, namespace: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, namespace)}


# --- gateway ------------------------------------------------------------------------------------------------------
def gateway(values: MulticlusterValues) -> list[Manifest]:
    """A pod that is nothing but its proxy, and the Service through which linked clusters reach it."""
    made = [
        account(names.GATEWAY, namespace=values.namespace),
        gateway_deployment(values),
        gateway_service(values),
    ]
    return [*made, disruption_budget(values)] if values.gateway_replicas > 1 else made


def gateway_deployment(values: MulticlusterValues) -> Manifest:
    labels = {"app": names.GATEWAY, **GATEWAY_SELECTOR}
    pod: dict[str, Any] = {
        "serviceAccountName": names.GATEWAY,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "containers": [
            {
                "name": "pause",
                "image": PAUSE_IMAGE,
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
    if values.gateway_replicas > 1:
        pod["affinity"] = spread_over_nodes()
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
    port = {"name": "mc-gateway", "port": values.gateway_port, "protocol": "TCP", "targetPort": names.INBOUND_PORT}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(names.GATEWAY, values.namespace, annotations=annotations),
        "spec": {"type": values.gateway_service_type, "selector": GATEWAY_SELECTOR, "ports": [port]},
    }


# --- Link controller ----------------------------------------------------------------------------------------------
def controller(values: MulticlusterValues) -> list[Manifest]:
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
            *mirroring(values),
        ),
        image=f"{values.registry}/{names.CONTROLLER_IMAGE}:{values.version}",
        image_pull_policy=values.image_pull_policy,
        replicas=1,
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
    ]


def mirroring(values: MulticlusterValues) -> list[str]:
    """The arguments that decide how services are mirrored, as far as they are not the default."""
    flags = {
        "--enable-headless-services=false": not values.enable_headless_services,
        "--enable-namespace-creation=true": values.enable_namespace_creation,
        f"--local-excluded-labels={values.local_excluded_labels}": bool(values.local_excluded_labels),
        f"--local-excluded-annotations={values.local_excluded_annotations}": bool(values.local_excluded_annotations),
    }
    return [flag for flag, wanted in flags.items() if wanted]


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
                rbac.rule(
                    [""], ["namespaces"], [*rbac.FOLLOW, *(["create"] if values.enable_namespace_creation else [])]
                ),
                rbac.rule([""], ["events"], ["create", "patch"]),
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


# --- access for linking clusters ----------------------------------------------------------------------------------
def remote_access(name: str, *, namespace: str, registers: str = "") -> list[Manifest]:
    """The account whose token goes into a Link's credentials: it reads what is exported and registers trust.

    Linkerd keeps a token that never expires beside it; here `link` asks for one that does, and nothing keeps it.
    `registers` is the one trust domain that the account may change and withdraw; "" leaves it open.
    """
    roles = remote_access_roles(name, namespace=namespace, registers=registers)
    return [account(name, namespace=namespace), *roles]


def remote_access_roles(name: str, *, namespace: str, registers: str = "") -> list[Manifest]:
    linkerd = names.CONTROL_PLANE_NAMESPACE
    role, binding = rbac.role(
        name,
        name,
        namespace=linkerd,
        rules=[rbac.rule([""], ["configmaps"], rbac.FOLLOW, only=[names.TRUST_ROOTS_CONFIG_MAP])],
    )
    subjects = [{"kind": "ServiceAccount", "namespace": namespace, "name": name}]
    return [
        *rbac.cluster_role(
            name,
            name,
            namespace=namespace,
            rules=[
                rbac.rule([""], ["services"], rbac.FOLLOW),
                rbac.rule([""], ["pods"], ["get", "list"]),
                rbac.rule(["discovery.k8s.io"], ["endpointslices"], rbac.FOLLOW),
            ],
        ),
        *rbac.role(
            f"{name}-trust",
            name,
            namespace=namespace,
            rules=[*registration_rules(registers), rbac.rule([""], ["serviceaccounts/token"], ["create"], only=[name])],
        ),
        role,
        {**binding, "subjects": subjects},
    ]


def registration_rules(trust_domain: str) -> list[rbac.Rule]:
    """To create cannot be narrowed by name; whoever claims a domain that is taken gets nothing by it."""
    kind = ([names.FEDERATION_GROUP], ["federatedtrustdomains"])
    if not trust_domain:
        return [rbac.rule(*kind, ["get", "create", "patch", "delete"])]
    return [rbac.rule(*kind, ["create"]), rbac.rule(*kind, ["get", "patch", "delete"], only=[trust_domain])]
