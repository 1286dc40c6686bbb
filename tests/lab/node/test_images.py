"""Images stand for programs; the tag does not matter."""

import json

import pytest

from isthmus import names
from isthmus.lab import images
from isthmus.lab.images import Images, ImageSpec, UnknownImageError


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("docker.io/library/busybox:1", "busybox"),
        ("docker.io/curlimages/curl@sha256:abc", "curlimages/curl"),
        ("localhost:5000/x/y:2", "localhost:5000/x/y"),
    ],
)
def test_the_repository_of_an_image(image, repository):
    assert images.repository_of(image) == repository


@pytest.mark.parametrize("image", ["pause:3.2", "gcr.io/google_containers/pause:3.2", "registry.k8s.io/pause:3.10"])
def test_every_pause_is_the_same(image):
    assert Images().find(image) == Images().find("pause")


def test_the_proxy_image_brings_the_tools_of_the_mesh():
    files = Images().find("localhost/isthmus/proxy:0.1.0").files
    assert {"/linkerd-await", "/isthmus/bin/linkerd-identity"} <= set(files)
    assert all(file.stat().st_mode & 0o111 for path, file in files.items() if "linkerd" in path)


@pytest.mark.parametrize("name", ["controller", "proxy", "proxy-init", "pause"])
def test_an_installation_from_another_registry_runs_the_same_programs(name):
    known = Images()
    assert known.find(f"registry.example:5000/team/{name}:{names.VERSION}") == known.find(f"localhost/isthmus/{name}")
    with pytest.raises(UnknownImageError):
        known.find(f"registry.example:5000/team/{name}:another")


def test_an_unknown_image_says_how_to_add_it():
    with pytest.raises(UnknownImageError, match="isthmus lab image add example/app"):
        Images().find("example/app:7")


def test_the_user_adds_images_while_the_lab_runs(tmp_path):
    known = Images(tmp_path)
    with pytest.raises(UnknownImageError):
        known.find("example/app")
    entry = {"example/*": {"entrypoint": ["/bin/app"], "args": ["-v"], "env": {"A": "1"}, "files": {"/x": "/y"}}}
    (tmp_path / "images.json").write_text(json.dumps(entry))
    found = known.find("example/app:1")
    assert (found.entrypoint, found.arguments, found.environment) == (("/bin/app",), ("-v",), {"A": "1"})


def test_a_broken_table_of_images_is_named(tmp_path):
    (tmp_path / "images.json").write_text("{")
    with pytest.raises(UnknownImageError, match=r"images\.json"):
        Images(tmp_path).find("pause")


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ((), (), ["entry", "default"]),
        ((), ("mine",), ["entry", "mine"]),
        (("own",), (), ["own"]),
        (("own",), ("mine",), ["own", "mine"]),
    ],
)
def test_command_and_args_follow_kubernetes_rules(command, arguments, expected):
    spec = ImageSpec(("entry",), ("default",))
    assert images.command_line(spec, command, arguments) == expected
