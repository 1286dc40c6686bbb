"""What is installed can be told again, and what is left over from other values."""

from isthmus import names
from isthmus.cli.viz_objects import SELECTOR, bare, identity, left_over
from isthmus.install.viz import manifests
from isthmus.install.viz_values import VizValues

ALL = manifests(VizValues())


def test_everything_that_is_installed_is_found_by_its_label() -> None:
    key, _, value = SELECTOR.partition("=")
    assert [identity(item) for item in ALL if item["metadata"]["labels"].get(key) != value] == []


def test_the_same_values_leave_nothing_over() -> None:
    assert left_over(ALL, VizValues()) == []


def test_what_other_values_do_not_make_is_left_over_and_nothing_else() -> None:
    found = left_over(ALL, VizValues(prometheus_enabled=False, dashboards=False))
    where = names.VIZ_NAMESPACE
    assert {identity(item) for item in found} == {
        ("ServiceAccount", where, "prometheus"),
        ("Service", where, "prometheus"),
        ("Deployment", where, "prometheus"),
        ("ConfigMap", where, "dashboard-mesh"),
        ("ConfigMap", where, "dashboard-multicluster"),
    }
    assert all(bare(item).keys() == {"apiVersion", "kind", "metadata"} for item in found)
    assert all("labels" not in bare(item)["metadata"] for item in found)
