"""From a container's spec to something that can be started: image, environment, mounts, root folder, rights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.lab import images
from isthmus.lab.client import Client, Object
from isthmus.lab.images import Images, ImageSpec
from isthmus.lab.node import environment, hostfiles, privileges, rootfs, volumes
from isthmus.lab.node.environment import ConfigError, Lookup
from isthmus.lab.node.events import Recorder
from isthmus.lab.node.network import AddressPool
from isthmus.lab.node.processes import Launch, StartError


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What all pods of a node share."""

    cluster: str
    name: str
    address: str
    pod_cidr: str
    cluster_domain: str
    folder: Path
    """For the pods' files: in memory, gone with the lab."""
    logs: Path
    client: Client
    images: Images
    addresses: AddressPool
    recorder: Recorder
    lookup: Callable[[str, str, str], Object | None]
    """Kind, namespace, name -> config map or secret."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the containers of one pod live."""

    netns: str
    address: str
    folder: Path
    lookup: Lookup


def make_ready(
    context: NodeContext, pod: Object, place: Place, spec: Mapping[str, Any], image: ImageSpec, identifier: str
) -> Launch:
    """Make a container's root folder and say how to start it. Raises ConfigError or StartError."""
    hostname = hostfiles.hostname_of(pod)
    variables = (
        images.default_environment()
        | dict(image.environment)
        | {"HOSTNAME": hostname}
        | environment.api_environment()
        | environment.variables_of(pod, spec, place.lookup)
    )
    command = images.command_line(image, spec.get("command") or (), spec.get("args") or ())
    if not command:
        raise StartError(f'no command specified: image "{spec["image"]}" has none, give the container one')
    root = place.folder / "containers" / identifier
    table = root.with_suffix(".fstab")
    working_dir = spec.get("workingDir") or image.working_dir
    mounts = mounts_of(pod, place.folder, spec, image)
    files = {
        "/etc/hosts": hostfiles.hosts(pod, place.address, context.cluster_domain),
        "/etc/resolv.conf": hostfiles.resolv_conf(pod, context.cluster_domain),
    }
    try:
        rootfs.prepare(root, mounts, files)
        table.write_text(rootfs.fstab(root, mounts))
        rootfs.ensure_folder(root, working_dir)
    except (OSError, ValueError) as error:
        raise StartError(str(error)) from error
    security = privileges.security_of(pod["spec"], spec)
    return Launch(
        netns=place.netns,
        hostname=hostname,
        root=root,
        mounts=table,
        working_dir=working_dir,
        command=tuple(environment.expand(word, variables) for word in command),
        environment=variables,
        privileges=tuple(privileges.setpriv(security)),
        stdin=bool(spec.get("stdin")),
        tty=bool(spec.get("tty")),
    )


def mounts_of(pod: Object, folder: Path, spec: Mapping[str, Any], image: ImageSpec) -> list[rootfs.Mount]:
    """This machine's part, the image's files, then the volumes, outer ones first."""
    own = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    mounts = list(rootfs.system_mounts())
    mounts += [rootfs.bind(file, path) for path, file in image.files.items()]
    for mount in sorted(spec.get("volumeMounts") or (), key=lambda one: str(one["mountPath"])):
        volume = own.get(mount["name"])
        if volume is None:
            raise ConfigError(f'volumeMount "{mount["name"]}" names no volume of the pod')
        source = folder / "volumes" / mount["name"]
        if inside := mount.get("subPath"):
            source = source / inside
            if "emptyDir" in volume and not source.exists():
                volumes.make_empty(source)
        if not source.exists():
            raise ConfigError(f'subPath "{inside}" is not in volume "{mount["name"]}"')
        read_only = bool(mount.get("readOnly")) or "emptyDir" not in volume
        mounts.append(rootfs.bind(source.resolve(), str(mount["mountPath"]).rstrip("/"), read_only=read_only))
    return mounts
