"""The Node object: what the cluster is told about the machine its pods run on."""

import asyncio
import logging
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

import aiohttp

from isthmus.lab import stamps
from isthmus.lab.client import LEASES, NODES, ApiError, Client, Object, Patch
from isthmus.names import VERSION

log = logging.getLogger(__name__)

KUBELET_VERSION: Final = "v1.36.0"
MOST_PODS: Final = 500
RETRY: Final = 0.2
PATIENCE_BEATS: Final = 3
"""An API server that does not answer for so many heartbeats is called anew."""
HEARTBEAT: Final = 60.0
"""How often the whole status is told again; and how often a cluster's only node says that it lives."""
LEASE_BEATS: Final = 4
LEASE_NAMESPACE: Final = "kube-node-lease"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def labels(name: str, *, control_plane: bool = False) -> dict[str, str]:
    roles = {"node-role.kubernetes.io/control-plane": ""} if control_plane else {}
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        **roles,
    }


def architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


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
            "architecture": architecture(),
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


def lease(name: str, *, heartbeat: float) -> dict[str, Any]:
    """What `kubectl describe node` shows as the last sign of life."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": max(1, round(LEASE_BEATS * heartbeat)),
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


async def register(
    client: Client, *, name: str, address: str, pod_cidr: str, control_plane: bool, heartbeat: float
) -> None:
    """Have the Node there and ready, and say with every heartbeat that it lives."""
    node = _Node(client, name, address, pod_cidr, control_plane)
    while True:
        try:
            async with asyncio.timeout(PATIENCE_BEATS * heartbeat):
                await node.assure()
                body = lease(name, heartbeat=heartbeat)
                await client.patch(LEASES, name, body, LEASE_NAMESPACE, how=Patch.APPLY, force=True)
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("the API server does not take the node yet: %s", error or type(error).__name__)
            await asyncio.sleep(RETRY)
        else:
            await asyncio.sleep(heartbeat)


@dataclass(slots=True)
class _Node:
    """The Node as this node wants it to be. Others may delete it or take it for dead."""

    client: Client
    name: str
    address: str
    pod_cidr: str
    control_plane: bool
    since: str = field(default_factory=stamps.now)
    told: float = -inf

    async def assure(self) -> None:
        found = await self.client.find(NODES, self.name) or await self._create()
        if not _is_ready(found):
            self.since = stamps.now()
            await self._tell()
        elif time.monotonic() - self.told >= HEARTBEAT:
            await self._tell()

    async def _create(self) -> Object:
        metadata = {"name": self.name, "labels": labels(self.name, control_plane=self.control_plane)}
        spec = {"podCIDR": self.pod_cidr, "podCIDRs": [self.pod_cidr]}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}
        return await self.client.create(NODES, body)

    async def _tell(self) -> None:
        status = node_status(self.name, self.address, since=self.since, now=stamps.now())
        await self.client.patch(NODES, self.name, {"status": status}, subresource="status")
        self.told = time.monotonic()


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
