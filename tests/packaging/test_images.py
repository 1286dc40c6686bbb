"""The images: the Containerfile and the table say the same, and the archive is what registries and runtimes read."""

import gzip
import hashlib
import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "packaging"))

from images import archive, contents, debian, layers  # noqa: E402
from images.contents import Image, Layer  # noqa: E402

CONTAINERFILE = (ROOT / "packaging/Containerfile").read_text().replace("\\\n", " ")
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", CONTAINERFILE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("image", contents.IMAGES, ids=lambda image: image.name)
def test_the_containerfile_runs_the_same_program_as_the_same_user(image: Image) -> None:
    stage = STAGES[image.name]
    assert f"USER {image.user}\n" in stage
    assert f"ENTRYPOINT {json.dumps(list(image.entrypoint))}\n" in stage


@pytest.mark.parametrize(
    ("stage", "layer"),
    [
        ("python", contents.BASE),
        ("controller", contents.CONTROL),
        ("proxy", contents.PROXY),
        ("proxy-init", contents.REDIRECT),
        ("catatonit", contents.PAUSE),
    ],
)
def test_the_containerfile_installs_the_same_packages(stage: str, layer: Layer) -> None:
    (installed,) = re.findall(r"apt-get install -y --no-install-recommends ([a-z0-9.+\s-]+?)(?:&&|\n)", STAGES[stage])
    assert set(installed.split()) == set(layer.debian)


def test_the_containerfile_leaves_out_the_same_rooms_and_brings_the_same_tools() -> None:
    for room in contents.NOT_IN_IMAGES:
        assert f"/isthmus/{room}" in STAGES["wheels"]
    for source, target in contents.PROXY.files:
        if source.startswith("src/"):
            assert f"COPY {source} /{target}\n" in STAGES["proxy"]


def test_every_library_is_locked_with_its_hashes() -> None:
    entries = layers.locked()
    assert all("--hash=sha256:" in entries[name] for name in contents.LIBRARIES)


def test_everybody_but_the_init_container_is_somebody_else_than_root() -> None:
    assert {image.name for image in contents.IMAGES if image.user.startswith("0")} == {"proxy-init"}


@pytest.mark.parametrize(
    ("name", "placed"),
    [
        ("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("./sbin/nft", "usr/sbin/nft"),
        ("./usr/share/doc/libc6/copyright", "usr/share/doc/libc6/copyright"),
        ("./usr/share/doc/libc6/changelog.gz", None),
        ("./usr/share/man/man1/sed.1.gz", None),
        ("../etc/passwd", None),
        ("./usr/../../etc/passwd", None),
        ("/etc/passwd", None),
        ("./", None),
    ],
)
def test_a_packages_files_go_below_usr_and_never_out_of_the_image(name: str, placed: str | None) -> None:
    assert debian._merged(name) == placed


def tree(folder: Path) -> Path:
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "usr/bin/run").write_text("#!/bin/sh\n")
    (folder / "usr/bin/run").chmod(0o700)
    (folder / "usr/data").write_text("x")
    (folder / "bin").symlink_to("usr/bin")
    return folder


def test_a_layer_holds_nothing_of_the_machine_that_made_it(tmp_path: Path) -> None:
    first = layers.pack(tree(tmp_path / "a"), tmp_path / "a.gz")
    assert layers.pack(tree(tmp_path / "b"), tmp_path / "b.gz").digest == first.digest
    plain = gzip.decompress(first.path.read_bytes())
    assert hashlib.sha256(plain).hexdigest() == first.diff_id
    with tarfile.open(first.path) as file:
        members = {member.name: member for member in file}
    assert {(member.uid, member.gid, member.mtime, member.uname) for member in members.values()} == {(0, 0, 0, "")}
    assert (members["usr/bin/run"].mode, members["usr/data"].mode) == (0o755, 0o644)
    assert members["bin"].linkname == "usr/bin"


@pytest.fixture
def made(tmp_path: Path) -> dict[str, bytes]:
    """The files of an archive of two images that share a layer."""
    blobs = {name: layers.pack(tree(tmp_path / name), tmp_path / f"{name}.gz") for name in ("base", "own")}
    images = (
        Image("first", (Layer("base"), Layer("own")), "1:1", ("/usr/bin/run",)),
        Image("second", (Layer("base"),), "2:2", ("/usr/bin/run", "-x")),
    )
    archive.write(images, blobs, tmp_path / "made.tar", registry="r.example/x", version="1", architecture="amd64")
    with tarfile.open(tmp_path / "made.tar") as file:
        return {member.name: file.extractfile(member).read() for member in file if member.isfile()}


def test_every_blob_is_named_by_its_digest_and_every_descriptor_leads_to_one(made: dict[str, bytes]) -> None:
    for name, content in made.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"

    def follow(descriptor: Any) -> Any:
        content = made["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
        assert len(content) == descriptor["size"]
        return content

    index = json.loads(made["index.json"])
    assert json.loads(made["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    for entry in index["manifests"]:
        manifest = json.loads(follow(entry))
        configuration = json.loads(follow(manifest["config"]))
        packed = [gzip.decompress(follow(layer)) for layer in manifest["layers"]]
        found = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in packed]
        assert configuration["rootfs"] == {"type": "layers", "diff_ids": found}
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]] == [
        "r.example/x/first:1",
        "r.example/x/second:1",
    ]


def test_docker_finds_the_same_images_in_the_same_archive(made: dict[str, bytes]) -> None:
    listed = json.loads(made["manifest.json"])
    assert [entry["RepoTags"] for entry in listed] == [["r.example/x/first:1"], ["r.example/x/second:1"]]
    assert all(path in made for entry in listed for path in (entry["Config"], *entry["Layers"]))
    assert json.loads(made[listed[1]["Config"]])["config"]["Entrypoint"] == ["/usr/bin/run", "-x"]
