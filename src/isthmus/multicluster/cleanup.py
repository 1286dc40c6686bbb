"""Removes everything that was made for a Link. Labels say what that is, so it can be done again after a crash."""

import asyncio
import logging
from typing import Any, Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client, connect
from isthmus.kube.events import Recorder
from isthmus.kube.kinds import Kind, Object
from isthmus.multicluster import credentials
from isthmus.multicluster.apply import apply
from isthmus.multicluster.diff import Action, Delete
from isthmus.multicluster.links import Link
from isthmus.multicluster.local import Local
from isthmus.multicluster.objects import LINKS, SERVICES, SLICES, is_mirror
from isthmus.multicluster.registration import unregister

log = logging.getLogger(__name__)

REMOTE_SECONDS: Final = 10.0
"""How long the one attempt to clean up in the target may take; a Link must be deletable without its target."""


async def clean_up(local: Local, link: Link, *, recorder: Recorder, kept_by: Link | None) -> None:
    """Remove it all, then let the Link go. Raises if this cluster's part is not done: try again.

    With another Link to the same target, what was made belongs to that one (`kept_by`) and stays.
    """
    if names.LINK_FINALIZER not in link.finalizers:
        return
    if kept_by is None:
        if not registered_by_others(local, link):
            await unregister_from_target(local, link, recorder=recorder)
        await remove_mirrors(local.client, link.target)
    await release(local.client, link)
    local.forget(link)
    log.info("unlinked %s", link.target, extra={"link": link.name})


def registered_by_others(local: Local, link: Link) -> bool:
    """Whether another Link, under another name, leads to the same cluster: one registration there is for both."""
    items = local.links.store
    domain = _trust_domain(items.get(link.key))
    alive = (item for key, item in items.items() if key != link.key and not item["metadata"].get("deletionTimestamp"))
    return bool(domain) and any(_trust_domain(item) == domain for item in alive)


def _trust_domain(item: Object | None) -> str:
    """Of the cluster that a Link leads to, as far as it was accepted."""
    return str(((item or {}).get("status") or {}).get("trustDomain") or "")


async def remove_mirrors(client: Client, target: str) -> None:
    """Delete the mirrors of a target as the API server has them now, not as a cache remembers them."""
    selector = f"{names.CLUSTER_NAME_LABEL}={target}"
    kinds: tuple[Kind[Any], ...] = (SLICES, SERVICES)
    actions: list[Action] = []
    for kind in kinds:
        found = await client.list(kind, labels=selector)
        actions += [Delete(kind, item.key) for item in found if is_mirror(item, target)]
    failures = await apply(client, actions)
    if failures:
        raise next(iter(failures.values()))


async def unregister_from_target(local: Local, link: Link, *, recorder: Recorder) -> None:
    """One bounded attempt; what was registered and cannot be withdrawn is told as an event."""
    own = local.own_roots
    if own is None:
        return
    try:
        kubeconfig = _credentials(local, link)
        async with asyncio.timeout(REMOTE_SECONDS), connect(kubeconfig, name=link.target) as client:
            await unregister(client, own)
    except (credentials.Unusable, errors.KubeError, TimeoutError) as problem:
        if not _registered(local, link):
            return
        why = str(problem).rstrip(".") or f"{link.target} did not answer within {REMOTE_SECONDS:g} s"
        recorder.record(
            link.reference,
            "LeftBehind",
            f"{link.target} still trusts {own.trust_domain}: {why}. Remove it there with: kubectl -n "
            f"{names.MULTICLUSTER_NAMESPACE} delete federatedtrustdomain {own.trust_domain}",
            type="Warning",
        )


def _credentials(local: Local, link: Link) -> bytes:
    """Those in the Secret, else those that registered last: `kubectl delete -f` removes the Secret before the Link."""
    try:
        return credentials.kubeconfig(link, local.secret(link))
    except credentials.Unusable:
        remembered = local.remembered(link)
        if remembered is None:
            raise
        return remembered


def _registered(local: Local, link: Link) -> bool:
    """Whether the target was told of this cluster, as far as is known: a status may not be written before a crash."""
    status = (local.link(link.key) or {}).get("status") or {}
    return local.remembered(link) is not None or bool(status.get("registeredTrustDomain"))


async def hold(client: Client, link: Link) -> None:
    """Put the finalizer on, before anything is made."""
    if names.LINK_FINALIZER not in link.finalizers:
        await _finalizers(client, link, [*link.finalizers, names.LINK_FINALIZER])


async def release(client: Client, link: Link) -> None:
    try:
        await _finalizers(client, link, [name for name in link.finalizers if name != names.LINK_FINALIZER])
    except errors.NotFound:
        return


async def _finalizers(client: Client, link: Link, finalizers: list[str]) -> None:
    """Guarded by the version that was read, so that another controller's finalizer is never lost."""
    metadata = {"finalizers": finalizers or None, "resourceVersion": link.resource_version}
    await client.patch(LINKS, link.name, {"metadata": metadata}, link.namespace)
