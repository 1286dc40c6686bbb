"""The credentials of linked clusters: of each Link, the one Secret that it names, and no other."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from isthmus import names
from isthmus.kube.client import Client
from isthmus.kube.watch import Informer
from isthmus.resources.core import SECRETS, Secret
from isthmus.resources.keys import Key
from isthmus.resources.multicluster import Link

log = logging.getLogger(__name__)

_LONGEST_DELAY: Final = 1.0
"""A Secret that may not be read yet is asked for again this soon: the extension that allows it may be on its way."""


@dataclass(slots=True)
class _Followed:
    """The Secret of one linked cluster."""

    secret: Key
    task: "asyncio.Task[None]"


class Credentials:
    """Tells `(cluster, kubeconfig)` when the kubeconfig of a linked cluster changes; None when there is none."""

    def __init__(self, local: Client, told: Callable[[str, bytes | None], None]) -> None:
        self._local = local
        self._told = told
        self._followed: dict[str, _Followed] = {}

    def follow(self, links: Iterable[Link], group: asyncio.TaskGroup) -> None:
        """Follow the Secrets that these Links name, in tasks of this group, and forget the others."""
        wanted = {link.cluster: link.credentials for link in links}
        for cluster in [name for name, item in self._followed.items() if wanted.get(name) != item.secret]:
            self._followed.pop(cluster).task.cancel()
            self._told(cluster, None)
        for cluster in wanted.keys() - self._followed.keys():
            informer = self._informer(cluster, *wanted[cluster])
            self._followed[cluster] = _Followed(wanted[cluster], group.create_task(informer.run()))

    def _informer(self, cluster: str, namespace: str, name: str) -> Informer[Secret]:
        informer = Informer(
            self._local,
            SECRETS,
            namespace=namespace,
            fields=f"metadata.name={name}",
            longest_delay=_LONGEST_DELAY,
        )
        informer.on_change(lambda _, secret: self._told(cluster, _kubeconfig(cluster, secret)))
        return informer


def _kubeconfig(cluster: str, secret: Secret | None) -> bytes | None:
    if secret is None:
        return None
    try:
        found = secret.value(names.CREDENTIALS_KEY)
    except ValueError as error:
        log.error("cluster %s: %s", cluster, error)
        return None
    if found is None:
        log.error(
            "cluster %s: Secret %s/%s has no key %s; link the cluster again",
            cluster, secret.metadata.namespace, secret.metadata.name, names.CREDENTIALS_KEY,
        )  # fmt: skip
    return found
