"""What the proxies of a cluster go by, asked in each pod: its certificate and the roots it believes."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from isthmus import names
from isthmus.cli.control_plane import PODS
from isthmus.cli.kubectl import Unanswered, ask_pod
from isthmus.cli.options import Cluster
from isthmus.identity.rotation import Holding
from isthmus.kube.kinds import Object

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

AT_ONCE: Final = 8
COMMAND: Final = ("python", "-I", "-m", "isthmus.proxy.held")


def holdings(cluster: Cluster, client: "SyncClient", namespace: str | None = None) -> list[Holding]:
    """Of every running proxy; one that is starting or ending holds nothing that counts."""
    meshed = client.list(PODS, namespace, labels=f"{names.CONTROL_PLANE_NS_LABEL}={names.CONTROL_PLANE_NAMESPACE}")
    pods = [pod for pod in meshed if _runs_a_proxy(pod)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda pod: _ask(cluster, pod), pods))


def _runs_a_proxy(pod: Object) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    status = pod.get("status") or {}
    found: Sequence[Object] = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return any(each["name"] == names.PROXY_CONTAINER and (each.get("state") or {}).get("running") for each in found)


def _ask(cluster: Cluster, pod: Object) -> Holding:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    label = f"pod {namespace}/{name}"
    try:
        said = json.loads(
            ask_pod(cluster, namespace=namespace, pod=name, container=names.PROXY_CONTAINER, command=COMMAND)
        )
        return Holding(label, certificate=said["certificate"], roots=said["roots"], anchors=said["anchors"])
    except Unanswered as error:
        return Holding(label, problem=f"cannot be asked ({error})")
    except (ValueError, LookupError, TypeError):
        return Holding(label, problem="runs a proxy that does not say what it holds: restart it")
