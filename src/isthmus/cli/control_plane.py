"""What `check` asks of a cluster's control plane; each question raises `Problem` in words when the answer is bad."""

import ipaddress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import yaml

from isthmus import names
from isthmus.cli.health import Problem, Settled
from isthmus.kube import errors
from isthmus.kube.kinds import ACCESS_REVIEWS, CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, Kind, Object, plain

CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
SECRETS: Final = plain("v1", "Secret", "secrets")
NAMESPACES: Final = plain("v1", "Namespace", "namespaces", namespaced=False)
PODS: Final = plain("v1", "Pod", "pods")
SERVICES: Final = plain("v1", "Service", "services")
SERVICE_ACCOUNTS: Final = plain("v1", "ServiceAccount", "serviceaccounts")
CLUSTER_ROLES: Final = plain("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = plain(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
WEBHOOKS: Final = plain(
    "admissionregistration.k8s.io/v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    namespaced=False,
)

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient
COMPONENTS: Final = (names.IDENTITY_DEPLOYMENT, names.DESTINATION_DEPLOYMENT, names.INJECTOR_DEPLOYMENT)
ROLES: Final = ("linkerd-linkerd-identity", "linkerd-linkerd-destination", "linkerd-linkerd-proxy-injector")
DEFINITIONS: Final = (
    f"links.{names.LINK_GROUP}",
    f"federatedtrustdomains.{names.FEDERATION_GROUP}",
    f"trafficsplits.{names.SPLIT_GROUP}",
)
REINSTALL: Final = "run `linkerd install | kubectl apply -f -`"


class ControlPlane:
    """One cluster's control plane, read once where it does not change while we look."""

    def __init__(self, client: "SyncClient", namespace: str = names.CONTROL_PLANE_NAMESPACE) -> None:
        self.client = client
        self.namespace = namespace

    @cached_property
    def _values(self) -> dict[str, Any]:
        config = self.client.get(CONFIG_MAPS, names.CONFIG_MAP, self.namespace)
        return dict(yaml.safe_load(config["data"]["values"]))

    def values(self) -> dict[str, Any]:
        """The installation's values."""
        try:
            return self._values
        except errors.NotFound:
            raise Problem(f"the control plane is not installed: {REINSTALL}") from None
        except (KeyError, TypeError, ValueError, yaml.YAMLError):
            raise Problem(f"ConfigMap {names.CONFIG_MAP} cannot be read: {REINSTALL}") from None

    def require_config(self) -> None:
        self.values()

    def require_absent(self) -> None:
        try:
            self.client.get(NAMESPACES, self.namespace)
        except errors.NotFound:
            return
        raise Problem(f'the namespace "{self.namespace}" exists already')

    def require_replicas(self) -> None:
        for name in COMPONENTS:
            deployment = self._need(DEPLOYMENTS, name, self.namespace)
            wanted = deployment.get("spec", {}).get("replicas", 1)
            ready = deployment.get("status", {}).get("readyReplicas", 0)
            if ready < wanted:
                raise Problem(f"Deployment {name} has {ready} of {wanted} replicas ready")

    def require_pods(self) -> None:
        pods = self.client.list(PODS, self.namespace, labels=names.COMPONENT_LABEL)
        for name in COMPONENTS:
            if not any(pod["metadata"]["name"].startswith(f"{name}-") for pod in pods):
                raise Problem(f"no pod of Deployment {name} exists")
        for pod in pods:
            require_ready(pod)

    def require_pod_networks(self) -> None:
        addresses = {
            f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}": pod["status"]["podIP"]
            for pod in self.client.list(PODS)
            if pod.get("status", {}).get("podIP") and not pod["spec"].get("hostNetwork")
        }
        self._require_inside(addresses)

    def require_service_networks(self) -> None:
        addresses = {
            f"service {service['metadata']['namespace']}/{service['metadata']['name']}": service["spec"]["clusterIP"]
            for service in self.client.list(SERVICES)
            if service["spec"].get("clusterIP") not in (None, "", "None")
        }
        self._require_inside(addresses)

    def _require_inside(self, addresses: dict[str, str]) -> None:
        networks = [ipaddress.ip_network(text) for text in str(self.values()["clusterNetworks"]).split(",")]
        for what, address in addresses.items():
            if not any(ipaddress.ip_address(address) in network for network in networks):
                raise Problem(
                    f"{what} has the address {address}, which is in none of the cluster networks: "
                    "install again with --cluster-networks naming its range"
                )

    def require_cluster_roles(self) -> None:
        for name in ROLES:
            self._need(CLUSTER_ROLES, name)

    def require_cluster_role_bindings(self) -> None:
        for name in ROLES:
            self._need(CLUSTER_ROLE_BINDINGS, name)

    def require_service_accounts(self) -> None:
        for name in COMPONENTS:
            self._need(SERVICE_ACCOUNTS, name, self.namespace)

    def require_definitions(self) -> None:
        for name in DEFINITIONS:
            self._need(CUSTOM_RESOURCE_DEFINITIONS, name)

    def require_webhook(self) -> None:
        self._need(WEBHOOKS, names.INJECTOR_WEBHOOK)

    def require_version(self) -> None:
        running = self.values().get("linkerdVersion")
        if running != names.VERSION:
            raise Problem(f"the control plane runs {running}, the CLI is {names.VERSION}: {REINSTALL}")

    def require_permission(self, group: str, resource: str) -> None:
        review = self.client.create(
            ACCESS_REVIEWS,
            {
                "apiVersion": ACCESS_REVIEWS.api_version,
                "kind": ACCESS_REVIEWS.kind,
                "metadata": {},
                "spec": {"resourceAttributes": {"verb": "create", "group": group, "resource": resource}},
            },
        )
        if not review.get("status", {}).get("allowed"):
            raise Problem(f"you may not create {resource} in this cluster: ask for cluster-admin")

    def proxies(self, namespace: str | None) -> list[Object]:
        """Pods that have a proxy."""
        return self.client.list(PODS, namespace, labels=names.CONTROL_PLANE_NS_LABEL + "=" + self.namespace)

    def require_proxies(self, namespace: str | None) -> None:
        meshed = [pod for pod in self.proxies(namespace) if names.COMPONENT_LABEL not in pod["metadata"]["labels"]]
        if not meshed:
            raise Settled("no pod has a proxy: annotate a workload with `linkerd.io/inject: enabled`")
        for pod in meshed:
            require_ready(pod, container=names.PROXY_CONTAINER)

    def require_proxy_versions(self, namespace: str | None) -> None:
        for pod in self.proxies(namespace):
            version = pod["metadata"].get("annotations", {}).get(names.PROXY_VERSION_ANNOTATION, names.VERSION)
            if version != names.VERSION:
                raise Problem(f"{_name(pod)} runs proxy {version}, the CLI is {names.VERSION}: restart it")

    def _need(self, kind: Kind[Object], name: str, namespace: str | None = None) -> Object:
        try:
            return self.client.get(kind, name, namespace)
        except errors.NotFound:
            raise Problem(f"{kind.describe(namespace, name)} does not exist: {REINSTALL}") from None


def lasting_pods(client: "SyncClient", namespace: str) -> list[Object]:
    """The namespace's pods that are meant to stay."""
    return [
        pod
        for pod in client.list(PODS, namespace)
        if not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") != "Succeeded"
    ]


def containers(pod: Object) -> list[Object]:
    """All that run in a pod: the init containers, of which the proxy is one, and the others."""
    return [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]


def proxy_of(pod: Object) -> Object | None:
    """The proxy's container; None where the pod has none."""
    return next((each for each in containers(pod) if each["name"] == names.PROXY_CONTAINER), None)


def require_ready(pod: Object, container: str | None = None) -> None:
    """Raises unless the pod (or one of its containers) is ready, and says what it waits for."""
    status = pod.get("status", {})
    statuses = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    if container:
        if any(entry["name"] == container and entry.get("ready") for entry in statuses):
            return
    elif any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])):
        return
    waiting = [
        f"container {entry['name']}: {entry['state']['waiting'].get('reason', 'waiting')}"
        for entry in statuses
        if entry.get("state", {}).get("waiting")
    ]
    raise Problem(f"{_name(pod)} is not ready ({'; '.join(waiting) or status.get('phase', 'Unknown')})")


def _name(pod: Object) -> str:
    return f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
