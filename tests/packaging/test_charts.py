"""The charts under Helm itself, where it is found: what it renders is what the commands print."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.install.test_chart import EVERYTHING, EXTENDED, EXTRAS, MATERIAL, VIZ

from isthmus.install import chart, controlplane, multicluster, schema, viz
from isthmus.install.multicluster_values import MulticlusterValues
from isthmus.install.render import render
from isthmus.install.schema import Tree
from isthmus.install.values import HIGH_AVAILABILITY, InstallValues
from isthmus.install.viz_values import VizValues

CHARTS = Path(__file__).parents[2] / "packaging/charts.py"
pytestmark = pytest.mark.skipif(not shutil.which("helm"), reason="helm is not on PATH")


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The charts as packages."""
    folder = tmp_path_factory.mktemp("charts")
    subprocess.run([sys.executable, str(CHARTS), str(folder)], check=True, capture_output=True, timeout=60)
    return folder


def rendered(charts: Path, name: str, given: Tree) -> list[Any]:
    (package,) = charts.glob(f"{name}-*.tgz")
    values = charts / f"{name}.json"
    values.write_text(json.dumps(given | EXTRAS))
    words = ["helm", "template", "any", str(package), "--kube-version", "1.36.0", "--values", str(values)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return _read(done.stdout)


def printed(objects: list[Any]) -> list[Any]:
    return _read(render(objects))


def _read(text: str) -> list[Any]:
    """In one order, for Helm has one of its own; without definitions, which no value changes."""
    found = [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]
    for item in found:
        if item["kind"] == "ConfigMap" and "values" in (item.get("data") or {}):
            item["data"]["values"] = yaml.safe_load(item["data"]["values"])
    kept = (item for item in found if item["kind"] != "CustomResourceDefinition")
    return sorted(kept, key=_name)


def _name(item: Any) -> tuple[str, str, str]:
    metadata = item["metadata"]
    return item["kind"], metadata.get("namespace", ""), metadata["name"]


@pytest.mark.parametrize("given", [{}, HIGH_AVAILABILITY, EVERYTHING], ids=["defaults", "ha", "everything"])
def test_the_control_plane(charts: Path, given: Tree) -> None:
    full = schema.merge(InstallValues, schema.tree(InstallValues), given)
    made = schema.from_tree(InstallValues, full, certificates=MATERIAL)
    assert rendered(charts, chart.CONTROL_PLANE, chart.given_values(made)) == printed(controlplane.manifests(made))


@pytest.mark.parametrize("given", [{}, EXTENDED], ids=["defaults", "extended"])
def test_the_multicluster_extension(charts: Path, given: Tree) -> None:
    full = schema.merge(MulticlusterValues, schema.tree(MulticlusterValues), given)
    made = schema.from_tree(MulticlusterValues, full)
    assert rendered(charts, chart.MULTICLUSTER, full) == printed(multicluster.manifests(made))


@pytest.mark.parametrize("given", [{}, *VIZ], ids=str)
def test_viz(charts: Path, given: Tree) -> None:
    full = schema.merge(VizValues, schema.tree(VizValues), given)
    assert rendered(charts, chart.VIZ, full) == printed(viz.manifests(schema.from_tree(VizValues, full)))
