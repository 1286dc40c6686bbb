"""`linkerd check`: is the control plane there, whole, and trusted?"""

import re
import sys
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus.cli import health
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import ControlPlane
from isthmus.cli.health import Category, Check
from isthmus.cli.options import Cluster, cluster_options
from isthmus.cli.tracing_checks import tracing
from isthmus.cli.workload_checks import injection, workloads

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

EPILOG: Final = """
\b
Examples:
  linkerd check
  linkerd check --pre
  linkerd check --context west -o short
"""
UNITS: Final = {"s": 1, "m": 60, "h": 3600}


def seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    """A duration as people write it, for click."""
    if not re.fullmatch(r"(\d+(\.\d+)?[smh])+", value):
        raise click.BadParameter(f'"{value}" is not a duration; write it like 5m or 30s')
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smh])", value))


def wait_option(command: Any) -> Any:
    """--wait and --output, as every `check` has them."""

    command = click.option(
        "-o", "--output", type=click.Choice(["table", "json", "short"]), default="table", help="Output format"
    )(command)
    return click.option(
        "--wait", default="5m", show_default=True, callback=seconds, help="How long to wait for things that start"
    )(command)


@click.command(epilog=EPILOG)
@cluster_options
@click.option("--pre", is_flag=True, help="Check whether the control plane can be installed")
@click.option("--proxy", is_flag=True, help="Check the data plane instead")
@click.option("-n", "--namespace", help="With --proxy: only this namespace")
@wait_option
def check(*, cluster: Cluster, pre: bool, proxy: bool, namespace: str | None, wait: float, output: str) -> None:
    """Check an installation for problems. Exits with 1 when a check fails; warnings do not count."""
    from isthmus.cli import certificate_checks  # loads the cryptography library

    with connected(cluster) as client:
        more: Iterable[Category] = ()
        if pre:
            categories = [kubernetes_api(client), _pre(client)]
        elif proxy:
            from isthmus.cli.holdings import holdings

            plane = ControlPlane(client)
            categories = [
                kubernetes_api(client),
                _data_plane(plane, namespace),
                certificate_checks.data_plane(lambda: holdings(cluster, client, namespace), plane),
            ]
        else:
            plane = ControlPlane(client)
            categories = [
                kubernetes_api(client),
                _existence(plane),
                _configuration(plane),
                certificate_checks.identity(plane),
                certificate_checks.webhook(plane),
                _versions(plane),
            ]
            more = chain(tracing(plane), [workloads(plane)])
        passed = health.run(chain(categories, more), output=output, wait=wait)
    sys.exit(0 if passed else 1)


def kubernetes_api(client: "SyncClient") -> Category:
    """The category every `check` begins with."""
    return Category(
        "kubernetes-api",
        [
            Check(
                description="can query the Kubernetes API",
                anchor="k8s-api",
                run=lambda: _ignore(client.raw("GET", "/version")),
                fatal=True,
            )
        ],
    )


def _ignore(_: object) -> None:
    return None


def _existence(plane: ControlPlane) -> Category:
    return Category(
        "linkerd-existence",
        [
            Check(
                description="'linkerd-config' config map exists",
                anchor="l5d-existence-linkerd-config",
                run=plane.require_config,
                fatal=True,
            ),
            Check(
                description="control plane replica sets are ready",
                anchor="l5d-existence-replicasets",
                run=plane.require_replicas,
                retryable=True,
                fatal=True,
            ),
            Check(
                description="control plane pods are ready",
                anchor="l5d-api-control-ready",
                run=plane.require_pods,
                retryable=True,
                fatal=True,
            ),
            Check(
                description="cluster networks contains all pods",
                anchor="l5d-cluster-networks-pods",
                run=plane.require_pod_networks,
            ),
            Check(
                description="cluster networks contains all services",
                anchor="l5d-cluster-networks-services",
                run=plane.require_service_networks,
            ),
        ],
    )


def _configuration(plane: ControlPlane) -> Category:
    def exists(what: str, anchor: str, test: Callable[[], None]) -> Check:
        return Check(description=f"control plane {what} exist", anchor=anchor, run=test, fatal=True)

    return Category(
        "linkerd-config",
        [
            exists("ClusterRoles", "l5d-existence-cr", plane.require_cluster_roles),
            exists("ClusterRoleBindings", "l5d-existence-crb", plane.require_cluster_role_bindings),
            exists("ServiceAccounts", "l5d-existence-sa", plane.require_service_accounts),
            exists("CustomResourceDefinitions", "l5d-existence-crd", plane.require_definitions),
            exists("MutatingWebhookConfigurations", "l5d-existence-mwc", plane.require_webhook),
        ],
    )


def _versions(plane: ControlPlane) -> Category:
    return Category(
        "control-plane-version",
        [
            Check(
                description="can retrieve the control plane version",
                anchor="l5d-cp-version",
                run=lambda: _ignore(plane.values()["linkerdVersion"]),
            ),
            Check(
                description="control plane and cli versions match",
                anchor="l5d-version-match",
                run=plane.require_version,
                warning=True,
            ),
        ],
    )


def _data_plane(plane: ControlPlane, namespace: str | None) -> Category:
    return Category(
        "linkerd-data-plane",
        [
            Check(
                description="data plane proxies are ready",
                anchor="l5d-data-plane-ready",
                run=lambda: plane.require_proxies(namespace),
                retryable=True,
            ),
            injection(plane, namespace),
            Check(
                description="data plane and cli versions match",
                anchor="l5d-data-plane-cli-version",
                run=lambda: plane.require_proxy_versions(namespace),
                warning=True,
            ),
        ],
    )


def _pre(client: "SyncClient") -> Category:
    plane = ControlPlane(client)

    def may(what: str, group: str, resource: str) -> Check:
        return Check(
            description=f"can create {what}", anchor="pre-k8s", run=lambda: plane.require_permission(group, resource)
        )

    return Category(
        "pre-kubernetes-setup",
        [
            Check(
                description="control plane namespace does not already exist",
                anchor="pre-ns",
                run=plane.require_absent,
            ),
            may("Namespaces", "", "namespaces"),
            may("ClusterRoles", "rbac.authorization.k8s.io", "clusterroles"),
            may("CustomResourceDefinitions", "apiextensions.k8s.io", "customresourcedefinitions"),
            may(
                "MutatingWebhookConfigurations",
                "admissionregistration.k8s.io",
                "mutatingwebhookconfigurations",
            ),
            may("Deployments", "apps", "deployments"),
            may("Secrets", "", "secrets"),
        ],
    )
