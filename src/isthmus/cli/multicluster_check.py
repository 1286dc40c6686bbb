"""`linkerd multicluster check`: is the extension whole, and does every link work?"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli import health
from isthmus.cli.check import kubernetes_api, wait_option
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import CONFIG_MAPS, lasting_pods, proxy_of, require_ready
from isthmus.cli.health import Category, Check, Problem, Remark, Settled
from isthmus.cli.link_checks import GATEWAY_SERVICES, PATIENCE, Conditions, LinkReports, by_type
from isthmus.cli.link_controller_checks import INSTALL, LinkControllers, require_no_crash
from isthmus.cli.options import Cluster, cluster_options
from isthmus.kube import errors
from isthmus.kube.kinds import CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, Object
from isthmus.multicluster import links
from isthmus.multicluster.objects import LINKS, SERVICES, SLICES, Service, is_federated

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

MIRRORS: Final = f"{names.MIRRORED_SERVICE_LABEL}=true"
STARTING: Final = 60.0
"""Seconds after which a controller that does not run is not just starting."""
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
    """Linkerd's checks in its words, causes before what follows from them; what they ask the Link controller knows."""
    links, controllers = extension.links, extension.controllers

    def made(description: str, anchor: str, run: Any, **kind: Any) -> Check:
        return Check(description=description, anchor=f"l5d-multicluster-{anchor}", run=run, **kind)

    def told(description: str, anchor: str, run: Any) -> Check:
        """Of a Link that was just applied the controller may not know yet."""
        return made(description, anchor, run, retryable=True, patience=PATIENCE)

    return Category(
        "linkerd-multicluster",
        [
            made("Link CRD exists", "link-crd-exists", extension.require_definition, fatal=True),
            made(
                "control plane components are running",
                "control-plane-running",
                controllers.require_control_plane,
                retryable=True,
                patience=PATIENCE,
            ),
            made(
                "service mirror controller has required permissions",
                "source-rbac-correct",
                controllers.require_permissions,
            ),
            made(
                "service mirror controllers are running",
                "service-mirror-running",
                controllers.require_running,
                retryable=True,
                patience=STARTING,
            ),
            told("Link resources are valid", "links-are-valid", links.require_valid),
            made("Links lead to other clusters", "links-lead-away", links.require_other_clusters),
            made("Link and CLI versions match", "links-version", links.require_versions, warning=True),
            told("remote cluster access credentials are valid", "smc-local-rbac", lambda: links.require("Reachable")),
            made(
                "remote cluster access credentials are renewed in time",
                "credentials-renewed",
                links.require_renewals,
                warning=True,
            ),
            told("clusters share trust anchors", "clusters-share-anchors", lambda: links.require("TrustEstablished")),
            told(
                "probe services able to communicate with all gateway mirrors",
                "gateways-endpoints",
                lambda: links.require("GatewayAlive"),
            ),
            made("probes ask what gateways know", "probes-known", links.require_known_probes, warning=True),
            told("all exported services are mirrored", "services-mirrored", links.require_mirrored),
            told("all mirror services have endpoints", "services-endpoints", extension.require_endpoints),
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
        self.controllers = LinkControllers(client, namespace)
        self.links = LinkReports(client, namespace, self.controllers)

    def require_definition(self) -> None:
        name = f"{LINKS.plural}.{names.LINK_GROUP}"
        try:
            self.client.get(CUSTOM_RESOURCE_DEFINITIONS, name)
        except errors.NotFound:
            raise Problem(f"{name} does not exist: {INSTALL}") from None

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
        reports = {links.parse(item).target: by_type(item) for item in self.links.links()}
        causes: list[str] = []
        consequences: list[str] = []
        for service in sorted(empty, key=lambda service: service.key):
            because = without_addresses(reports.get(_cluster(service), {}))
            (consequences if because else causes).append(f"* {'/'.join(service.key)}: {because or _nobody(service)}")
        if causes:
            raise Problem("\n".join([*causes, *consequences]))
        if consequences:
            raise Remark("\n".join(consequences))

    def require_owners(self) -> None:
        linked = {links.parse(item).target for item in self.links.links()}
        orphans = [service for service in self.mirrors() if _cluster(service) not in linked]
        if orphans:
            raise Problem(
                "\n".join(f"mirror service {'.'.join(reversed(item.key))} is not part of any Link" for item in orphans)
            )

    def proxies(self) -> list[Object]:
        return lasting_pods(self.client, self.namespace)

    def require_proxies(self) -> None:
        pods = self.proxies()
        if not pods:
            kind = Problem if self.client.list(DEPLOYMENTS, self.namespace) else Settled
            raise kind(f"namespace {self.namespace} has no pods: {INSTALL}")
        try:
            for pod in pods:
                require_no_crash(pod)
                require_ready(pod, container=names.PROXY_CONTAINER)
            self._require_same_domain(pods)
            self._require_gateway()
        except Problem as problem:
            if str(problem) == self.controllers.silent:
                raise Remark("the pod of the Link controller is not well (above)") from None
            if cause := self.controllers.control_plane_problem:
                raise Remark(f"{problem}\nbecause {cause} (above)") from None
            raise

    def _require_same_domain(self, pods: Sequence[Object]) -> None:
        """That no pod is older than the control plane: nobody signs for its trust domain any more."""
        roots = self._found(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE) or {}
        domain = (roots.get("data") or {}).get(names.TRUST_DOMAIN_KEY)
        for pod in pods:
            of_pod = _trust_domain(pod)
            if domain and of_pod and of_pod != domain:
                raise Settled(
                    f"pod {self.namespace}/{pod['metadata']['name']} is of trust domain {of_pod}, the control plane of "
                    f"{domain}: it was installed anew. `kubectl -n {self.namespace} rollout restart deploy`, restart "
                    "all other meshed workloads, and link again wherever this cluster is linked"
                )

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

    def _found(self, kind: Any, name: str, namespace: str = "") -> Object | None:
        try:
            return dict(self.client.get(kind, name, namespace or self.namespace))
        except errors.NotFound:
            return None

    def require_proxy_versions(self) -> None:
        for pod in self.proxies():
            version = (pod["metadata"].get("annotations") or {}).get(names.PROXY_VERSION_ANNOTATION, names.VERSION)
            if version != names.VERSION:
                raise Problem(
                    f"pod {pod['metadata']['name']} runs proxy {version}, the CLI is {names.VERSION}: restart it"
                )


def _trust_domain(pod: Object) -> str:
    """The domain that the injector gave to the pod's proxy; "" without one."""
    given = (proxy_of(pod) or {}).get("env") or ()
    return next((str(entry.get("value") or "") for entry in given if entry["name"] == "ISTHMUS_TRUST_DOMAIN"), "")


def without_addresses(conditions: Conditions) -> str:
    """Why mirrors of a cluster have nobody to lead to, whatever its services are doing; "" if that is not so."""
    gateway = conditions.get("GatewayAlive", {})
    return "because the name of the gateway does not resolve (above)" if gateway.get("reason") == "Unresolvable" else ""


def _nobody(service: Service) -> str:
    fqn = service.metadata.annotations.get(names.REMOTE_SERVICE_FQN_ANNOTATION, "")
    name, _, rest = fqn.partition(".")
    remote = f"Service {rest.partition('.')[0]}/{name}" if name else "its service"
    return f"has no endpoints: {remote} of {_cluster(service)} has no ready pod"


def _cluster(service: Service) -> str:
    return service.metadata.labels.get(names.CLUSTER_NAME_LABEL, "")
