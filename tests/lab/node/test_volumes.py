"""What is in a pod's volumes, and that a change is seen whole."""

import base64
import os

import pytest

from isthmus.lab.node import volumes
from isthmus.lab.node.environment import ConfigError
from isthmus.lab.node.volumes import File, TokenRequest

POD = {"metadata": {"name": "p", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"containers": []}}
OBJECTS = {
    ("ConfigMap", "cm"): {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}},
    ("Secret", "s"): {"kind": "Secret", "data": {"pw": base64.b64encode(b"x").decode()}},
}


def contents(volume):
    return volumes.contents(
        POD, {"name": "v", **volume}, lambda kind, name: OBJECTS.get((kind, name)), lambda request: repr(request)
    )


def test_a_projected_volume_joins_its_sources():
    token = {"audience": "identity.l5d.io", "expirationSeconds": 600, "path": "token"}
    found = contents(
        {
            "projected": {
                "sources": [
                    {"serviceAccountToken": token},
                    {"configMap": {"name": "cm", "items": [{"key": "a", "path": "deep/a", "mode": 0o600}]}},
                    {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                    {"secret": {"name": "s"}},
                ]
            }
        }
    )
    assert found == {
        "token": File(repr(TokenRequest("identity.l5d.io", 600)).encode()),
        "deep/a": File(b"1", 0o600),
        "ns": File(b"shop"),
        "pw": File(b"x"),
    }


def test_an_empty_dir_belongs_to_the_containers():
    assert contents({"emptyDir": {"medium": "Memory"}}) is None


def test_a_missing_secret_is_named_unless_optional():
    with pytest.raises(ConfigError, match='secret "gone" not found'):
        contents({"secret": {"secretName": "gone"}})
    assert contents({"secret": {"secretName": "gone", "optional": True}}) == {}


def test_a_kind_of_volume_the_lab_does_not_have_says_what_to_use():
    with pytest.raises(ConfigError, match=r"hostPath.*use emptyDir"):
        contents({"hostPath": {"path": "/"}})


def test_what_a_pod_refers_to():
    spec = {
        "volumes": [
            {"name": "a", "configMap": {"name": "cm"}},
            {"name": "b", "secret": {"secretName": "s"}},
            {
                "name": "c",
                "projected": {"sources": [{"secret": {"name": "t"}}, {"serviceAccountToken": {"path": "x"}}]},
            },
        ]
    }
    assert volumes.references(spec) == {("ConfigMap", "cm"), ("Secret", "s"), ("Secret", "t")}
    assert volumes.token_requests(spec) == {TokenRequest("", 3600)}


def test_a_volume_is_changed_at_one_stroke(tmp_path):
    folder = tmp_path / "v"
    volumes.write(folder, {"a": File(b"1"), "deep/b": File(b"2", 0o600)})
    before = os.readlink(folder / "..data")
    assert (folder / "a").read_bytes() == b"1"
    assert (folder / "deep/b").stat().st_mode & 0o777 == 0o600

    assert volumes.write(folder, {"a": File(b"new")})
    assert os.readlink(folder / "..data") != before
    assert (folder / "a").read_bytes() == b"new"
    assert sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("..")) == ["a"]
    assert volumes.read(folder) == {"a": File(b"new")}


def test_nothing_is_written_when_nothing_changed(tmp_path):
    files = {"a": File(b"1")}
    assert volumes.write(tmp_path / "v", files)
    assert not volumes.write(tmp_path / "v", files)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_a_path_cannot_leave_its_volume(tmp_path, path):
    with pytest.raises(ConfigError, match="not a path inside a volume"):
        volumes.write(tmp_path / "v", {path: File(b"")})
