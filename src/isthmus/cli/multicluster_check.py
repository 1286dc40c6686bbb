"""`linkerd multicluster check`: is the extension whole, and does every link work?"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli import health
from isthmus.cli.check import kubernetes_api, wait_option
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, PODS, require_ready
from isthmus.cli.health import Category, Check, Problem, Settled
from isthmus.cli.options import Cluster, cluster_options
from isthmus.kube import errors
from isthmus.kube.kinds import CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, Object, plain
from isthmus.multicluster import links
from isthmus.multicluster.objects import LINKS, SERVICES, SLICES, Service, is_federated

if TYPE_CHECKING:
    from isthmus.kube.client import SyncClient

INSTALL: Final = "run `linkerd multicluster install | kubectl apply -f -`"
LINK_PATIENCE: Final = 20.0
"""Seconds a Link that was just applied may take; after that, what its controller says of it is an answer."""
CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
GATEWAY_SERVICES: Final = plain("v1", "Service", "services")
MIRRORS: Final = f"{names.MIRRORED_SERVICE_LABEL}=true"
EPILOG: Final = """
\b
Examples:
  linkerd multicluster check
  linkerd multicluster check --context west -o json
"""


@click.command(epilog=EPILOG)
@cluster_options
@wait_option
@click.option("--timeout", default="10s", hidden=True)
def check(*, cluster: Cluster, wait: float, output: str, timeout: str) -> None:
    """Check the extension and its links. Exits with 1 when a check fails; warnings do not count."""
    with connected(cluster) as client:
        passed = health.run([kubernetes_api(client), category(Extension(client))], output=output, wait=wait)
    sys.exit(0 if passed else 1)


def category(extension: "Extension") -> Category:
    """Linkerd's checks, in its order and words; what they ask is what the Link controller knows."""

    def made(description: str, anchor: str, run: Any, **kind: Any) -> Check:
        return Check(description=description, anchor=f"l5d-multicluster-{anchor}", run=run, **kind)

    return Category(
        "linkerd-multicluster",
        [
            made("Link CRD exists", "link-crd-exists", extension.require_definition, fatal=True),
            made(
                "Link resources are valid",
                "links-are-valid",
                extension.require_valid_links,
                retryable=True,
                patience=LINK_PATIENCE,
            ),
            made("Links lead to other clusters", "links-lead-away", extension.require_other_clusters, warning=True),
            made("Link and CLI versions match", "links-version", extension.require_link_versions, warning=True),
            made(
                "remote cluster access credentials are valid",
                "smc-local-rbac",
                lambda: extension.require_condition("Reachable"),
                retryable=True,
                patience=LINK_PATIENCE,
            ),
            made(
                "remote cluster access credentials are renewed in time",
                "credentials-renewed",
                extension.require_renewals,
                warning=True,
            ),
            made(
                "clusters share trust anchors",
                "clusters-share-anchors",
                lambda: extension.require_condition("TrustEstablished"),
                retryable=True,
                patience=LINK_PATIENCE,
            ),
            made(
                "service mirror controller has required permissions",
                "source-rbac-correct",
                extension.require_permissions,
            ),
            made(
                "service mirror controllers are running",
                "service-mirror-running",
                extension.require_controller,
                retryable=True,
            ),
            made(
                "probe services able to communicate with all gateway mirrors",
                "gateways-endpoints",
                lambda: extension.require_condition("GatewayAlive"),
                retryable=True,
                patience=LINK_PATIENCE,
            ),
            made(
                "all mirror services have endpoints",
                "services-endpoints",
                extension.require_endpoints,
                retryable=True,
                patience=LINK_PATIENCE,
            ),
            made("all mirror services are part of a Link", "orphaned-services", extension.require_owners, warning=True),
            made(
                "multicluster extension proxies are healthy",
                "proxy-healthy",
                extension.require_proxies,
                retryable=True,
            ),
            made(
                "multicluster extension proxies and cli versions match",
                "proxy-cli-version",
                extension.require_proxy_versions,
                warning=True,
            ),
        ],
    )


class Extension:
    """One cluster's multicluster extension; each question raises `Problem` in words when the answer is bad."""

    def __init__(self, client: "SyncClient", namespace: str = names.MULTICLUSTER_NAMESPACE) -> None:
        self.client = client
        self.namespace = namespace

    def links(self) -> list[Object]:
        return self.client.list(LINKS, self.namespace)

    def require_definition(self) -> None:
        name = f"{LINKS.plural}.{names.LINK_GROUP}"
        try:
            self.client.get(CUSTOM_RESOURCE_DEFINITIONS, name)
        except errors.NotFound:
            raise Problem(f"{name} does not exist: {INSTALL}") from None

    def require_valid_links(self) -> None:
        wrong = [(item, problem) for item in self.links() for problem in links.parse(item).problems]
        _raise_for(wrong)
        self.require_condition("Accepted")

    def require_other_clusters(self) -> None:
        """That no Link leads back: one that was applied in the wrong cluster works, but not for whom it should."""
        found = self.links()
        if not found:
            return
        service = self._found(GATEWAY_SERVICES, names.GATEWAY) or {}
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        own = {entry.get("ip") or entry.get("hostname") for entry in ingress}
        roots = self.client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE)["data"]
        wrong = []
        for item in found:
            spec = item["spec"]
            addresses = set(str(spec.get("gatewayAddress", "")).split(","))
            if spec.get("targetTrustDomain") == roots.get(names.TRUST_DOMAIN_KEY) and own & addresses:
                name = spec["targetClusterName"]
                wrong.append((item, f"leads to this cluster itself: apply it in the cluster that is to call {name}"))
        _raise_for(wrong)

    def require_link_versions(self) -> None:
        wrong = []
        for item in self.links():
            created = (item["metadata"].get("annotations") or {}).get(names.CREATED_BY_ANNOTATION, "unknown")
            if created.rpartition(" ")[2] != names.VERSION:
                wrong.append((item, f"was made by {created}, this is {names.VERSION}: link again"))
        _raise_for(wrong)

    def require_condition(self, kind: str) -> None:
        """That the controller found this to be so for every Link."""
        wrong = []
        for item in self.links():
            conditions = (item.get("status") or {}).get("conditions") or []
            found = next((condition for condition in conditions if condition["type"] == kind), None)
            if found is None:
                wrong.append((item, "the controller has not looked at it yet"))
            elif found["status"] != "True" and found["reason"] != "NoGateway":
                wrong.append((item, found.get("message") or found["reason"]))
        _raise_for(wrong)

    def require_renewals(self) -> None:
        """That no Link is about to break: its credentials still work, and nothing comes after them."""
        wrong = []
        for item in self.links():
            conditions = (item.get("status") or {}).get("conditions") or []
            found = [each for each in conditions if each.get("reason") == "CredentialsNotRenewed"]
            wrong += [(item, str(each.get("message"))) for each in found]
        _raise_for(wrong)

    def require_permissions(self) -> None:
        name = f"linkerd-{names.MULTICLUSTER_CONTROLLER}"
        for kind in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS):
            try:
                self.client.get(kind, name)
            except errors.NotFound:
                raise Problem(f"{kind.kind} {name} does not exist: {INSTALL}") from None

    def require_controller(self) -> None:
        name = names.MULTICLUSTER_CONTROLLER
        try:
            deployment = self.client.get(DEPLOYMENTS, name, self.namespace)
        except errors.NotFound:
            raise Settled(f"Deployment {self.namespace}/{name} does not exist: {INSTALL}") from None
        if not (deployment.get("status") or {}).get("readyReplicas"):
            raise Problem(
                f"Deployment {self.namespace}/{name} has no ready replica: see `kubectl -n {self.namespace} get pods`"
            )

    def mirrors(self) -> list[Service]:
        """Services made for one Link; federated ones are no single Link's."""
        return [service for service in self.client.list(SERVICES, labels=MIRRORS) if not is_federated(service)]

    def require_endpoints(self) -> None:
        filled = {
            (item.metadata.namespace, item.metadata.labels.get(names.SERVICE_NAME_LABEL))
            for item in self.client.list(SLICES, labels=MIRRORS)
            if item.endpoints
        }
        empty = [
            service
            for service in self.mirrors()
            if service.key not in filled and names.REMOTE_DISCOVERY not in service.metadata.labels
        ]
        if empty:
            raise Problem(
                f"{_listed('/'.join(service.key) for service in empty)}\n"
                "have no endpoints: their services have no ready pod in the linked cluster"
            )

    def require_owners(self) -> None:
        linked = {links.parse(item).target for item in self.links()}
        orphans = [
            service for service in self.mirrors() if service.metadata.labels.get(names.CLUSTER_NAME_LABEL) not in linked
        ]
        if orphans:
            raise Problem(
                "\n".join(f"mirror service {'.'.join(reversed(item.key))} is not part of any Link" for item in orphans)
            )

    def proxies(self) -> list[Object]:
        """Pods that are meant to stay."""
        return [
            pod
            for pod in self.client.list(PODS, self.namespace)
            if not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") != "Succeeded"
        ]

    def require_proxies(self) -> None:
        pods = self.proxies()
        if not pods:
            kind = Problem if self.client.list(DEPLOYMENTS, self.namespace) else Settled
            raise kind(f"namespace {self.namespace} has no pods: {INSTALL}")
        for pod in pods:
            require_ready(pod, container=names.PROXY_CONTAINER)
        self._require_gateway()

    def _require_gateway(self) -> None:
        """That a gateway which was installed is whole: nobody else would tell the cluster that it is cut off."""
        name = f"{self.namespace}/{names.GATEWAY}"
        service = self._found(GATEWAY_SERVICES, names.GATEWAY)
        deployment = self._found(DEPLOYMENTS, names.GATEWAY)
        if service is None and deployment is None:
            return
        if service is None or deployment is None:
            kind = "Service" if service is None else "Deployment"
            raise Settled(f"{kind} {name} does not exist, other clusters cannot reach this one: {INSTALL}")
        if not (deployment.get("status") or {}).get("readyReplicas"):
            raise Problem(f"Deployment {name} has no ready replica: other clusters cannot reach this one")

    def _found(self, kind: Any, name: str) -> Object | None:
        try:
            return dict(self.client.get(kind, name, self.namespace))
        except errors.NotFound:
            return None

    def require_proxy_versions(self) -> None:
        for pod in self.proxies():
            version = (pod["metadata"].get("annotations") or {}).get(names.PROXY_VERSION_ANNOTATION, names.VERSION)
            if version != names.VERSION:
                raise Problem(
                    f"pod {pod['metadata']['name']} runs proxy {version}, the CLI is {names.VERSION}: restart it"
                )


def _raise_for(wrong: list[tuple[Object, str]]) -> None:
    if wrong:
        raise Problem("\n".join(f"* {item['metadata']['name']}: {sentence}" for item, sentence in wrong))


def _listed(entries: Iterable[str]) -> str:
    return "\n".join(f"* {entry}" for entry in sorted(entries))
