"""Carries out the actions of a diff, many at a time, and tells which failed."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.meta import Key
from isthmus.multicluster.diff import Action, Create, Delete, Patch
from isthmus.multicluster.objects import NAMESPACES, made_for
from isthmus.multicluster.plans import Outcome

PARALLEL: Final = 16
"""Writes under way at once: a thousand mirrors in seconds, without starving other clients of the API server."""


async def apply(client: Client, actions: Iterable[Action]) -> Mapping[Key, errors.KubeError]:
    """Failures by object. Objects that are there, or gone, already are no failure: the watch will tell."""
    limit = asyncio.Semaphore(PARALLEL)
    failures: dict[Key, errors.KubeError] = {}

    async def one(action: Action) -> None:
        async with limit:
            try:
                await perform(client, action)
            except errors.KubeError as error:
                failures[action.key] = error

    async with asyncio.TaskGroup() as group:
        for action in actions:
            group.create_task(one(action))
    return failures


async def perform(client: Client, action: Action) -> None:
    namespace, name = action.key
    try:
        match action:
            case Create(kind=kind, body=body):
                await client.create(kind, body)
            case Patch(kind=kind, body=body):
                await client.patch(kind, name, body, namespace)
            case Delete(kind=kind):
                await client.delete(kind, name, namespace)
    except (errors.AlreadyExists, errors.NotFound) as error:
        if isinstance(error, errors.NotFound) and isinstance(action, Create):
            raise  # the namespace is gone


async def create_namespaces(client: Client, outcomes: Iterable[Outcome], target: str) -> Mapping[Key, errors.KubeError]:
    """Make the namespaces that exported services need; failures by mirror. They outlive the Link: others use them."""
    waiting: dict[str, list[Key]] = {}
    for outcome in outcomes:
        if outcome.reason == "MissingNamespace":
            waiting.setdefault(outcome.remote[0], []).append(outcome.local)
    actions = [
        Create(NAMESPACES, ("", name), {"metadata": {"name": name, "labels": made_for(target)}}) for name in waiting
    ]
    failures = await apply(client, actions)
    return {mirror: failures["", name] for name in waiting for mirror in waiting[name] if ("", name) in failures}
