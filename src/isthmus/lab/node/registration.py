"""The Node object: what the cluster is told about the machine its pods run on."""

import asyncio
import logging
import os
import platform
from typing import Any, Final

import aiohttp

from isthmus.lab import stamps
from isthmus.lab.client import LEASES, NODES, ApiError, Client, ConflictError, Patch
from isthmus.names import VERSION

log = logging.getLogger(__name__)

KUBELET_VERSION: Final = "v1.36.0"
MOST_PODS: Final = 500
RETRY: Final = 0.2
HEARTBEAT: Final = 60.0
LEASE_NAMESPACE: Final = "kube-node-lease"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def labels(name: str) -> dict[str, str]:
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "node-role.kubernetes.io/control-plane": "",
    }


def node_status(name: str, address: str, *, since: str, now: str) -> dict[str, Any]:
    """A ready node with what this machine has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    amounts = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": str(MOST_PODS)}
    kernel = platform.release()
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "the lab's node is posting ready status",
                "lastHeartbeatTime": now,
                "lastTransitionTime": since,
            }
        ],
        "nodeInfo": {
            "architecture": labels(name)["kubernetes.io/arch"],
            "bootID": "",
            "containerRuntimeVersion": f"isthmus://{VERSION}",
            "kernelVersion": kernel,
            "kubeProxyVersion": KUBELET_VERSION,
            "kubeletVersion": KUBELET_VERSION,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "Isthmus lab",
            "systemUUID": "",
        },
    }


def lease(name: str, now: str) -> dict[str, Any]:
    """What `kubectl describe node` shows as the last sign of life."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": int(2 * HEARTBEAT),
            "renewTime": now.replace("Z", ".000000Z"),
        },
    }


async def register(client: Client, *, name: str, address: str, pod_cidr: str) -> None:
    """Register the node and say from time to time that it lives; tried until the API server takes it."""
    since = stamps.now()
    spec = {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]}
    metadata = {"name": name, "labels": labels(name)}
    while True:
        try:
            try:
                await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
            except ConflictError:
                await client.patch(NODES, name, {"metadata": {"labels": labels(name)}, "spec": spec})
            status = node_status(name, address, since=since, now=stamps.now())
            await client.patch(NODES, name, {"status": status}, subresource="status")
            await client.patch(LEASES, name, lease(name, stamps.now()), LEASE_NAMESPACE, how=Patch.APPLY, force=True)
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("the API server does not take the node yet: %s", error or type(error).__name__)
            await asyncio.sleep(RETRY)
        else:
            await asyncio.sleep(HEARTBEAT)
