"""`linkerd inject --manual`: the proxy written into a manifest, as the cluster's own injector puts it into pods."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.inject import INJECTED, at, replaced
from isthmus.cli.options import Cluster, fail
from isthmus.injector import main as injector
from isthmus.injector.config import Config
from isthmus.injector.patch import Inject, Refuse, decide
from isthmus.kube import errors
from isthmus.kube.kinds import plain

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

DEPLOYMENTS: Final = plain("apps/v1", "Deployment", "deployments")
CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
NAMESPACES: Final = plain("v1", "Namespace", "namespaces", namespaced=False)
MAX_LABEL: Final = 63


def with_proxy(manifest: dict[str, Any], path: tuple[str, ...], cluster: Cluster) -> tuple[str, dict[str, Any]]:
    """The outcome in a phrase, and the manifest with a proxy in its pod template."""
    namespace = str((manifest.get("metadata") or {}).get("namespace") or "default")
    with connected(cluster) as client:
        config = _configuration(client, cluster)
        inherited = _annotations(client, namespace)
    pod = at(manifest, path)
    decision = decide(pod, namespace=namespace, namespace_annotations=inherited, config=config)
    if isinstance(decision, Refuse):
        fail(
            f"{manifest['kind']} {namespace}/{manifest['metadata'].get('name')} cannot be injected: {decision.message}"
        )
    if not isinstance(decision, Inject):
        return f"skipped: {decision.reason}", manifest
    for warning in decision.warnings:
        click.echo(f"note: {warning}", err=True)
    made = _patched(pod, decision.patch)
    if path:
        owner = f"{names.PROXY_OWNER_LABEL_PREFIX}{manifest['kind'].lower()}"
        made["metadata"]["labels"][owner] = str(manifest["metadata"]["name"])[:MAX_LABEL].rstrip("-._")
    return INJECTED, replaced(manifest, path, made)


def _configuration(client: "SyncClient", cluster: Cluster) -> Config:
    """What the injector was told by its flags."""
    try:
        deployment = client.get(DEPLOYMENTS, names.INJECTOR_DEPLOYMENT, cluster.linkerd_namespace)
        roots = client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, cluster.linkerd_namespace)
    except errors.NotFound:
        fail(
            f"The control plane is not installed in {cluster.label}, and --manual asks it how proxies are configured.",
            "Run `linkerd install | kubectl apply -f -` first, or leave --manual out.",
        )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    flags, _ = injector.parser().parse_known_args(container["args"][1:])
    return injector.configuration(flags, roots["data"][names.TRUST_ROOTS_KEY])


def _annotations(client: "SyncClient", namespace: str) -> Mapping[str, str]:
    try:
        return client.get(NAMESPACES, namespace)["metadata"].get("annotations") or {}
    except errors.NotFound:
        return {}


def _patched(pod: dict[str, Any], operations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The pod after the injector's patch, which only ever sets whole values."""
    made = {key: dict(value) if isinstance(value, dict) else value for key, value in pod.items()}
    for operation in operations:
        _, parent, key = operation["path"].split("/")
        made.setdefault(parent, {})[key] = operation["value"]
    return made
