"""`linkerd install` in two steps prints what it prints in one."""

import yaml
from click.testing import CliRunner

from isthmus.cli.install import install
from isthmus.cli.uninstall import NO_CERTIFICATES
from isthmus.install.controlplane import manifests
from isthmus.install.values import InstallValues


def test_the_definitions_alone_are_those_of_the_whole() -> None:
    result = CliRunner().invoke(install, ["--crds"])
    assert result.exit_code == 0, result.output
    whole = manifests(InstallValues(certificates=NO_CERTIFICATES))
    assert list(yaml.safe_load_all(result.stdout)) == [
        item for item in whole if item["kind"] == "CustomResourceDefinition"
    ]
