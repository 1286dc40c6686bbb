"""`linkerd inject`: adds the annotation that makes the webhook inject the proxy, and says what it did."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click

from isthmus import names
from isthmus.cli import manifests
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.injector.config import CHECKS
from isthmus.install.render import render

F = TypeVar("F", bound=Callable[..., Any])

INJECTED: Final = "injected"

TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Namespace": (),
}
"""Kind -> where its pod template is (the object itself for pods and namespaces)."""

EPILOG: Final = """
\b
Examples:
  linkerd inject deployment.yaml | kubectl apply -f -
  kubectl get deploy web -o yaml | linkerd inject - | kubectl apply -f -
  linkerd inject --skip-outbound-ports 3306,5432 --proxy-log-level info deployment.yaml | kubectl apply -f -
  linkerd inject --manual deployment.yaml | kubectl apply -f -
"""
ANNOTATIONS: Final = {
    name.rpartition("/")[2].replace("-", "_"): name for name in CHECKS if name != names.ENABLE_GATEWAY_ANNOTATION
}
"""Parameter -> the annotation that it sets."""
WITHOUT_EFFECT: Final = {
    "close_wait_timeout": "the proxy does not change how long the kernel remembers half-closed connections",
    "enable_debug_sidecar": "there is no debug sidecar; use `kubectl debug --target linkerd-proxy`",
    "ingress": "ingress is treated as enabled: requests go by the address that was dialled",
}
"""Linkerd's flags that are taken and change nothing, and what is said of each."""


def annotation_flags(command: F) -> F:
    """A flag for each annotation that the injector honours."""
    for parameter, annotation in reversed(ANNOTATIONS.items()):
        flag = click.option(f"--{parameter.replace('_', '-')}", metavar="VALUE", help=f"Sets {annotation}")
        command = flag(command)
    return command


@click.command(epilog=EPILOG, short_help="Add the proxy annotation to Kubernetes manifests")
@cluster_options
@click.argument("source", metavar="FILE|DIRECTORY|-")
@click.option("--manual", is_flag=True, help="Add the proxy itself, as the cluster's injector would")
@click.option("--ingress", is_flag=True, help=f"Sets {names.INJECT_ANNOTATION}: ingress, which means enabled")
@click.option("--close-wait-timeout", metavar="DURATION", help="Has no effect")
@click.option("--enable-debug-sidecar", is_flag=True, help="Has no effect")
@annotation_flags
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format")
def inject(*, cluster: Cluster, source: str, manual: bool, output: Any, **flags: Any) -> None:
    """Print the manifests in FILE with the proxy annotation added to every pod template.

    The proxy comes when the pods are made, by the cluster's injector; with --manual it is in the output, and the
    cluster is asked how it is configured.
    """
    for flag, effect in WITHOUT_EFFECT.items():
        if flags[flag]:
            click.echo(f"note: --{flag.replace('_', '-')}: {effect}", err=True)
    chosen = _annotations(flags)
    objects = []
    for manifest in manifests.read(source):
        outcome, changed = annotate(manifest, chosen)
        if manual and outcome == INJECTED:
            outcome, changed = _with_proxy(changed, cluster)
        click.echo(f'{manifest["kind"].lower()} "{_name(manifest)}" {outcome}', err=True)
        objects.append(changed)
    click.echo(err=True)
    click.echo(render(objects, output), nl=False)


def _annotations(flags: Mapping[str, Any]) -> dict[str, str]:
    """What the flags say, checked as the injector would."""
    chosen = {names.INJECT_ANNOTATION: "ingress" if flags["ingress"] else "enabled"}
    for parameter, annotation in ANNOTATIONS.items():
        value = flags[parameter]
        if value is None:
            continue
        try:
            CHECKS[annotation](value)
        except ValueError as error:
            fail(f"--{parameter.replace('_', '-')} {value!r} cannot be used: {error}")
        chosen[annotation] = value
    return chosen


def _with_proxy(manifest: dict[str, Any], cluster: Cluster) -> tuple[str, dict[str, Any]]:
    if manifest["kind"] == "Namespace":
        return INJECTED, manifest
    from isthmus.cli import inject_manual

    return inject_manual.with_proxy(manifest, TEMPLATES[manifest["kind"]], cluster)


def annotate(
    manifest: dict[str, Any], chosen: Mapping[str, str] = MappingProxyType({names.INJECT_ANNOTATION: "enabled"})
) -> tuple[str, dict[str, Any]]:
    """The outcome in one word or phrase, and the manifest with the annotation (the same one when skipped)."""
    path = TEMPLATES.get(manifest["kind"])
    if path is None:
        return "skipped", manifest
    template = at(manifest, path)
    spec = template.get("spec") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    if spec.get("hostNetwork"):
        return "skipped: it uses the host's network", manifest
    if any(
        container.get("name") == names.PROXY_CONTAINER
        for container in [*spec.get("containers", []), *spec.get("initContainers", [])]
    ):
        return "skipped: it has a proxy already", manifest
    if annotations.get(names.INJECT_ANNOTATION) == "disabled":
        return f"skipped: it is annotated {names.INJECT_ANNOTATION}: disabled", manifest
    return INJECTED, replaced(manifest, path, _annotated(template, chosen))


def _annotated(template: dict[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), **chosen}
    return {**template, "metadata": {**metadata, "annotations": annotations}}


def replaced(node: dict[str, Any], path: tuple[str, ...], template: dict[str, Any]) -> dict[str, Any]:
    """The object with another pod template."""
    return {**node, path[0]: replaced(node[path[0]], path[1:], template)} if path else template


def at(node: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """What is in an object at a path."""
    for key in path:
        node = node.get(key) or {}
    return node


def _name(manifest: dict[str, Any]) -> str:
    return str((manifest.get("metadata") or {}).get("name", ""))
