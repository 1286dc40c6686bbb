"""`linkerd uninstall` names what `install` printed, last things first, and nothing secret."""

import yaml
from click.testing import CliRunner

from isthmus.cli.uninstall import NO_CERTIFICATES, uninstall
from isthmus.install.controlplane import manifests
from isthmus.install.values import InstallValues


def test_everything_that_install_prints_is_named_in_reverse(monkeypatch):
    monkeypatch.setattr("isthmus.cli.uninstall._extension_installed", lambda cluster: False)
    result = CliRunner().invoke(uninstall, [])
    assert result.exit_code == 0
    printed = list(yaml.safe_load_all(result.stdout))
    installed = manifests(InstallValues(certificates=NO_CERTIFICATES))
    assert [(item["kind"], item["metadata"]["name"]) for item in printed] == [
        (item["kind"], item["metadata"]["name"]) for item in reversed(installed)
    ]
    assert all(item.keys() == {"apiVersion", "kind", "metadata"} for item in printed)


def test_the_extension_goes_first(monkeypatch):
    monkeypatch.setattr("isthmus.cli.uninstall._extension_installed", lambda cluster: True)
    result = CliRunner().invoke(uninstall, [])
    assert result.exit_code == 1
    assert "multicluster uninstall" in result.stderr
