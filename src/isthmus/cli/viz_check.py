"""`linkerd viz check`: is the extension whole, does it read the proxies, and does its Prometheus?"""

import sys
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from isthmus import names
from isthmus.cli import health
from isthmus.cli.check import kubernetes_api, wait_option
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    lasting_pods,
    proxy_of,
    require_ready,
)
from isthmus.cli.health import Category, Check, Problem, Settled
from isthmus.cli.options import Cluster, cluster_options
from isthmus.cli.viz_ask import raw
from isthmus.kube import errors
from isthmus.kube.kinds import Object
from isthmus.viz import api

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

INSTALL: Final = "run `linkerd viz install | kubectl apply -f -`"
START_PATIENCE: Final = 60.0
"""Seconds that Prometheus may take from its start to its first numbers."""
EPILOG: Final = """
\b
Examples:
  linkerd viz check
  linkerd viz check --proxy -n shop
"""


@click.command(epilog=EPILOG)
@cluster_options
@click.option("--proxy", is_flag=True, help="Also check that the numbers of proxies arrive")
@click.option("-n", "--namespace", help="With --proxy: only this namespace")
@wait_option
def check(*, cluster: Cluster, proxy: bool, namespace: str | None, wait: float, output: str) -> None:
    """Check the extension. Exits with 1 when a check fails; warnings do not count."""
    with connected(cluster) as client:
        extension = Extension(client, cluster)
        categories = [kubernetes_api(client), _extension(extension)]
        if proxy:
            categories.append(_data_plane(extension, namespace))
        passed = health.run(categories, output=output, wait=wait)
    sys.exit(0 if passed else 1)


def _made(description: str, anchor: str, run: Any, **kind: Any) -> Check:
    return Check(description=description, anchor=f"l5d-viz-{anchor}", run=run, **kind)


def _extension(extension: "Extension") -> Category:
    return Category(
        "linkerd-viz",
        [
            _made(f"{names.VIZ_NAMESPACE} Namespace exists", "ns-exists", extension.require_namespace, fatal=True),
            _made(
                "linkerd-viz ClusterRoles exist", "cr-exists", lambda: extension.require_all(CLUSTER_ROLES), fatal=True
            ),
            _made(
                "linkerd-viz ClusterRoleBindings exist",
                "crb-exists",
                lambda: extension.require_all(CLUSTER_ROLE_BINDINGS),
                fatal=True,
            ),
            _made("linkerd-viz pods are injected", "pods-injection", extension.require_injected, warning=True),
            _made("viz extension pods are running", "pods-running", extension.require_running, retryable=True),
            _made("viz extension proxies are healthy", "proxy-healthy", extension.require_proxies, retryable=True),
            _made(
                "viz extension proxies and cli versions match",
                "proxy-cli-version",
                extension.require_proxy_versions,
                warning=True,
            ),
            _made("viz extension self-check", "metrics-api", extension.require_metrics, retryable=True),
            _made(
                "prometheus is installed and configured correctly",
                "prometheus",
                extension.require_prometheus,
                retryable=True,
                patience=START_PATIENCE,
                warning=True,
            ),
        ],
    )


def _data_plane(extension: "Extension", namespace: str | None) -> Category:
    return Category(
        "linkerd-viz-data-plane",
        [
            _made(
                "data plane namespace exists",
                "data-plane-ns",
                lambda: extension.require_namespace(namespace or "default"),
            ),
            _made("data plane proxy metrics are read", "data-plane-metrics", extension.require_complete),
            _made(
                "data plane proxy metrics are present in Prometheus",
                "data-plane-prom",
                lambda: extension.require_in_prometheus(namespace),
                retryable=True,
                patience=START_PATIENCE,
                warning=True,
            ),
        ],
    )


class Extension:
    """One cluster's viz extension; each question raises `Problem` in words when the answer is bad."""

    def __init__(self, client: "SyncClient", cluster: Cluster) -> None:
        self.client = client
        self.cluster = cluster

    def require_namespace(self, name: str = names.VIZ_NAMESPACE) -> None:
        try:
            self.client.get(NAMESPACES, name)
        except errors.NotFound:
            hint = f": {INSTALL}" if name == names.VIZ_NAMESPACE else ""
            raise Problem(f'the namespace "{name}" does not exist{hint}') from None

    def require_all(self, kind: Any) -> None:
        name = f"linkerd-{names.VIZ_NAMESPACE}-{names.VIZ_METRICS_API}"
        try:
            self.client.get(kind, name)
        except errors.NotFound:
            raise Problem(f"{kind.kind} {name} does not exist: {INSTALL}") from None

    def pods(self) -> list[Object]:
        return lasting_pods(self.client, names.VIZ_NAMESPACE)

    def require_injected(self) -> None:
        for pod in self.pods():
            if proxy_of(pod) is None:
                raise Problem(f"pod {pod['metadata']['name']} has no proxy: restart it when `linkerd check` is green")

    def require_running(self) -> None:
        pods = self.pods()
        if not any(pod["metadata"]["name"].startswith(f"{names.VIZ_METRICS_API}-") for pod in pods):
            raise Problem(f"there is no pod of {names.VIZ_METRICS_API}: {INSTALL}")
        for pod in pods:
            require_ready(pod)

    def require_proxies(self) -> None:
        for pod in self.pods():
            require_ready(pod, container=names.PROXY_CONTAINER)

    def require_proxy_versions(self) -> None:
        for pod in self.pods():
            version = (pod["metadata"].get("annotations") or {}).get(names.PROXY_VERSION_ANNOTATION, names.VERSION)
            if version != names.VERSION:
                raise Problem(
                    f"pod {pod['metadata']['name']} runs proxy {version}, the CLI is {names.VERSION}: restart it"
                )

    def status(self) -> api.Status:
        try:
            return msgspec.json.decode(raw(self.client, self.cluster, api.STATUS_PATH), type=api.Status)
        except click.ClickException as error:
            raise Problem(error.message) from None
        except msgspec.DecodeError:
            raise Problem(f"the metrics API sent an answer that cannot be read: {INSTALL}") from None

    def require_metrics(self) -> None:
        if not self.status().pods:
            raise Problem("the metrics API reads no proxy at all, not even its own: see its log")

    def require_complete(self) -> None:
        if problems := self.status().problems:
            raise Problem("\n".join(problems))

    def require_prometheus(self) -> None:
        found = self.status().prometheus
        if not found.url:
            return
        if found.problem:
            raise Problem(f"Prometheus at {found.url} does not answer: {found.problem}")
        if not found.proxies:
            raise Problem(
                f"Prometheus at {found.url} reads no proxy: give it the scrape configuration in the "
                f"ConfigMap prometheus-config of namespace {names.VIZ_NAMESPACE}"
            )

    def require_in_prometheus(self, namespace: str | None) -> None:
        found = self.status().prometheus
        if not found.url:
            raise Settled("there is no Prometheus; `viz stat` needs none")
        if found.problem:
            raise Problem(f"Prometheus at {found.url} does not answer: {found.problem}")
        if not (found.proxies.get(namespace) if namespace else found.proxies):
            raise Problem(f"Prometheus has no numbers of proxies{f' in namespace {namespace}' if namespace else ''}")
