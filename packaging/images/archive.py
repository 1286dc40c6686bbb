"""Images to one archive: an OCI image layout for `ctr` and `podman`, with the index that `docker load` reads."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from images.contents import ENVIRONMENT, Image
from images.layers import EPOCH, Blob

CREATED: Final = "1970-01-01T00:00:00Z"
OCI: Final = "application/vnd.oci.image"


@dataclass(frozen=True)
class Built:
    """One image in the archive."""

    reference: str
    digest: str
    size: int


def write(
    images: Sequence[Image], blobs: Mapping[str, Blob], target: Path, *, registry: str, version: str, architecture: str
) -> list[Built]:
    """The archive of all images; layers that several share are in it once."""
    documents: dict[str, bytes] = {}

    def store(document: Any) -> dict[str, Any]:
        content = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        documents[digest] = content
        return {"digest": f"sha256:{digest}", "size": len(content)}

    manifests, docker, built = [], [], []
    for image in images:
        layers = [blobs[layer.name] for layer in image.layers]
        configuration = store(_configuration(image, layers, version=version, architecture=architecture))
        manifest = store(_manifest(configuration, layers))
        reference = f"{registry}/{image.name}:{version}"
        manifests.append(_entry(manifest, reference, architecture))
        docker.append(
            {
                "Config": _path(configuration["digest"]),
                "RepoTags": [reference],
                "Layers": [_path(layer.digest) for layer in layers],
            }
        )
        built.append(Built(reference, manifest["digest"], sum(layer.size for layer in layers)))
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}
    files: dict[str, bytes | Path] = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index, separators=(",", ":")).encode(),
        "manifest.json": json.dumps(docker, separators=(",", ":")).encode(),
        **{_path(digest): content for digest, content in documents.items()},
        **{_path(blob.digest): blob.path for blob in blobs.values()},
    }
    _tar(files, target)
    return built


def _configuration(image: Image, layers: Sequence[Blob], *, version: str, architecture: str) -> dict[str, Any]:
    return {
        "created": CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "Entrypoint": list(image.entrypoint),
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": f"Isthmus {image.name}",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in layers]},
        "history": [{"created": CREATED, "created_by": f"isthmus: {layer.name}"} for layer in image.layers],
    }


def _manifest(configuration: Mapping[str, Any], layers: Sequence[Blob]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": {"mediaType": f"{OCI}.config.v1+json", **configuration},
        "layers": [
            {"mediaType": f"{OCI}.layer.v1.tar+gzip", "digest": f"sha256:{layer.digest}", "size": layer.size}
            for layer in layers
        ],
    }


def _entry(manifest: Mapping[str, Any], reference: str, architecture: str) -> dict[str, Any]:
    return {
        "mediaType": f"{OCI}.manifest.v1+json",
        **manifest,
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference,
        },
    }


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _tar(files: Mapping[str, bytes | Path], target: Path) -> None:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder in ("blobs", "blobs/sha256"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, EPOCH
            archive.addfile(member)
        for name, content in sorted(files.items()):
            data = content if isinstance(content, bytes) else content.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o644, EPOCH
            archive.addfile(member, io.BytesIO(data))
