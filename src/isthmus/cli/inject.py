"""`linkerd inject`: adds the annotation that makes the webhook inject the proxy, and says what it did."""

from typing import Any, Final

import click

from isthmus import names
from isthmus.cli import manifests
from isthmus.install.render import render

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
"""


@click.command(epilog=EPILOG)
@click.argument("source", metavar="FILE|DIRECTORY|-")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Output format")
def inject(source: str, output: Any) -> None:
    """Print the manifests in FILE with the proxy annotation added to every pod template."""
    objects = []
    for manifest in manifests.read(source):
        outcome, changed = annotate(manifest)
        click.echo(f'{manifest["kind"].lower()} "{_name(manifest)}" {outcome}', err=True)
        objects.append(changed)
    click.echo(err=True)
    click.echo(render(objects, output), nl=False)


def annotate(manifest: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The outcome in one word or phrase, and the manifest with the annotation (the same one when skipped)."""
    path = TEMPLATES.get(manifest["kind"])
    if path is None:
        return "skipped", manifest
    template = _at(manifest, path)
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
    return "injected", _with_annotation(manifest, path)


def _with_annotation(node: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    if path:
        return {**node, path[0]: _with_annotation(node[path[0]], path[1:])}
    metadata = node.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), names.INJECT_ANNOTATION: "enabled"}
    return {**node, "metadata": {**metadata, "annotations": annotations}}


def _at(node: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for key in path:
        node = node.get(key) or {}
    return node


def _name(manifest: dict[str, Any]) -> str:
    return str((manifest.get("metadata") or {}).get("name", ""))
