"""Links that are being deleted with their namespace, while the controller that would finish it went first."""

from typing import TYPE_CHECKING, Final

from isthmus import names
from isthmus.cli.control_plane import NAMESPACES
from isthmus.kube import errors
from isthmus.multicluster.objects import LINKS

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

LET_GO: Final = '{"metadata":{"finalizers":null}}'


def stuck(client: "SyncClient", namespace: str = names.MULTICLUSTER_NAMESPACE) -> str:
    """What to do, "" where nothing is stuck: neither an installation nor `kubectl delete` gets further by itself."""
    try:
        if not client.get(NAMESPACES, namespace)["metadata"].get("deletionTimestamp"):
            return ""
        found = [link["metadata"] for link in client.list(LINKS, namespace)]
    except errors.ApiError:
        return ""
    waiting = [item["name"] for item in found if names.LINK_FINALIZER in (item.get("finalizers") or ())]
    if not waiting:
        return ""
    which = f"links.{names.LINK_GROUP} {' '.join(waiting)}"
    return (
        f"namespace {namespace} is being deleted, and waits for {len(waiting)} Link(s) that only the controller, which "
        f"is gone, would end. Let go of them with `kubectl -n {namespace} patch {which} --type=merge -p '{LET_GO}'`. "
        "What they made stays: `linkerd multicluster install | kubectl apply -f -` removes it"
    )
