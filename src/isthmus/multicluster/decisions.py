"""The target's side of the trust exchange: decides on the registrations of clusters that link to this one."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.watch import Signal
from isthmus.multicluster import acceptance
from isthmus.multicluster.acceptance import Verdict
from isthmus.multicluster.local import Local
from isthmus.multicluster.objects import FEDERATED_TRUST_DOMAINS

log = logging.getLogger(__name__)

_RETRY: Final = 2.0
_PAUSE: Final = 0.1
"""Between two rounds: whoever may write registrations cannot keep this process busy with them."""


async def decide(local: Local) -> None:
    """Keep the status of every registration true, until cancelled."""
    changed = Signal()
    local.registrations.on_change(changed.set)
    local.on_roots_change(changed.set)
    failed = False
    while True:
        await changed.wait(_RETRY if failed else None)
        failed = not await decide_once(local)
        await asyncio.sleep(_PAUSE)


async def decide_once(local: Local) -> bool:
    """Write the verdicts that are new; whether all could be written. Waits for the own trust domain to be known."""
    own = local.own_roots
    if own is None:
        return True
    registrations = local.registrations.store
    verdicts = acceptance.judge(map(acceptance.registered, registrations.values()), own)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    complete = True
    for (namespace, name), found in verdicts.items():
        verdict = advised(found, name)
        previous = registrations[namespace, name].get("status") or {}
        status = acceptance.status(verdict, previous, now=now)
        if status == previous:
            continue
        log.info("%s: %s", name, verdict.message)
        try:
            await local.client.patch_status(FEDERATED_TRUST_DOMAINS, name, status, namespace)
        except errors.NotFound:
            continue
        except errors.KubeError as error:
            log.warning("the verdict on %s could not be written: %s", name, error)
            complete = False
    return complete


def advised(verdict: Verdict, name: str) -> Verdict:
    """The verdict with what an operator can do about it."""
    if verdict.reason != "BundleReplaced":
        return verdict
    advice = (
        "If that cluster was installed anew, accept it with: "
        f"kubectl -n {names.MULTICLUSTER_NAMESPACE} delete federatedtrustdomain {name}"
    )
    return replace(verdict, message=f"{verdict.message} {advice}")
