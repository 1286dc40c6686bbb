"""Helm charts, made of the same builders as what `install` prints: every value is looked up instead of known."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from isthmus import names
from isthmus.install import controlplane, multicluster, multicluster_values, schema, viz
from isthmus.install.multicluster_values import MulticlusterValues
from isthmus.install.render import yaml_text
from isthmus.install.schema import Tree
from isthmus.install.template import CLOSING, Lookup, When, emit
from isthmus.install.values import CERTIFICATE_PATHS, HIGH_AVAILABILITY, Certificates, InstallValues
from isthmus.install.viz_values import VizValues

Files = dict[str, str]
"""Path inside the chart -> content."""

CONTROL_PLANE: Final = "isthmus-control-plane"
MULTICLUSTER: Final = "isthmus-multicluster"
VIZ: Final = "isthmus-viz"
INSTALL_NAMESPACE: Final = "installNamespace"
INSTALL_DEFINITIONS: Final = "installCRDs"
NAMESPACE_NOTE: Final = (
    "# installNamespace: whether the chart makes its namespace; leave it off with `helm install --create-namespace`.\n"
)


def control_plane() -> Files:
    """The chart of what `linkerd install` prints."""
    values = schema.lookups(InstallValues, certificates=_certificates())
    defaults = schema.tree(InstallValues) | {INSTALL_NAMESPACE: False}
    for path in CERTIFICATE_PATHS.values():
        _put_new(defaults, tuple(path.split(".")), "")
    return {
        "Chart.yaml": _metadata(CONTROL_PLANE, "The control plane of the Isthmus service mesh"),
        "values.yaml": "# Certificates and keys must be given: `linkerd install -o helm` prints a set of them.\n"
        + NAMESPACE_NOTE
        + yaml_text(defaults),
        "values-ha.yaml": "# What `linkerd install --ha` sets.\n" + yaml_text(HIGH_AVAILABILITY),
        "templates/control-plane.yaml": templates(controlplane.objects(values)),
    }


def multicluster_extension() -> Files:
    """The chart of what `linkerd multicluster install` prints."""
    defaults = schema.tree(MulticlusterValues) | {INSTALL_NAMESPACE: False, INSTALL_DEFINITIONS: False}
    return {
        "Chart.yaml": _metadata(MULTICLUSTER, "The multi-cluster extension of the Isthmus service mesh"),
        "values.yaml": "# identityTrustDomain: the control plane's; `linkerd multicluster install` reads it there.\n"
        + NAMESPACE_NOTE
        + "# installCRDs: the control plane's chart has the definitions; here they are for those who do without it.\n"
        + yaml_text(defaults),
        "values-ha.yaml": "# What `linkerd multicluster install --ha` sets.\n"
        + yaml_text(multicluster_values.HIGH_AVAILABILITY),
        "templates/multicluster.yaml": templates(
            multicluster.objects(schema.lookups(MulticlusterValues)), definitions=INSTALL_DEFINITIONS
        ),
    }


def viz_extension() -> Files:
    """The chart of what `linkerd viz install` prints."""
    defaults = schema.tree(VizValues) | {INSTALL_NAMESPACE: False}
    return {
        "Chart.yaml": _metadata(VIZ, "Metrics, dashboards and the page of the Isthmus service mesh"),
        "values.yaml": "# multicluster.enabled: whether the namespace of the multi-cluster extension is there.\n"
        + NAMESPACE_NOTE
        + yaml_text(defaults),
        "templates/viz.yaml": templates(viz.objects(schema.lookups(VizValues))),
    }


def charts() -> dict[str, Files]:
    """Every chart by its name."""
    return {CONTROL_PLANE: control_plane(), MULTICLUSTER: multicluster_extension(), VIZ: viz_extension()}


def given_values(values: InstallValues) -> Tree:
    """The values with which the chart is what `install` prints for `values`. Holds keys."""
    made = schema.tree(values)
    for name, path in CERTIFICATE_PATHS.items():
        _put_new(made, tuple(path.split(".")), getattr(values.certificates, name))
    return made


def templates(objects: Iterable[Mapping[str, Any] | When], *, definitions: str = "") -> str:
    """Every object as a document of one template; the namespace only where the chart is to make it.

    `definitions` names the value that says whether the chart has the definitions; without, it has them.
    """
    optional = {"Namespace": INSTALL_NAMESPACE} | ({"CustomResourceDefinition": definitions} if definitions else {})
    return "".join(_document(item, optional) for item in objects)


def _document(item: Mapping[str, Any] | When, optional: Mapping[str, str]) -> str:
    if isinstance(item, When):
        return f"{item.opening}\n---\n{emit(item.content)}{CLOSING}\n"
    if item["kind"] in optional:
        return _document(When((f".Values.{optional[item['kind']]}",), item), {})
    return f"---\n{emit(item)}"


def _certificates() -> Certificates:
    made = {}
    for each in fields(Certificates):
        path = CERTIFICATE_PATHS[each.name]
        sentence = f"{path} must be given; linkerd install -o helm prints a set"
        made[each.name] = Lookup(f"required {json.dumps(sentence)} .Values.{path}")
    return Certificates(**made)


def _metadata(name: str, description: str) -> str:
    return yaml_text(
        {
            "apiVersion": "v2",
            "name": name,
            "description": description,
            "type": "application",
            "version": names.VERSION,
            "appVersion": names.VERSION,
            "kubeVersion": ">=1.29.0-0",
        }
    )


def _put_new(onto: Tree, path: Sequence[str], content: Any) -> None:
    schema.put(onto, tuple(path), content)
