"""The mirrors of one Link: planned from what is known of its target, written, and told about."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from isthmus.kube import errors
from isthmus.kube.meta import Key
from isthmus.multicluster import mirrors
from isthmus.multicluster.apply import apply, create_namespaces
from isthmus.multicluster.diff import diff
from isthmus.multicluster.links import Link
from isthmus.multicluster.local import Local
from isthmus.multicluster.objects import Service
from isthmus.multicluster.plans import Gateway, Outcome, Plan
from isthmus.multicluster.remote import Remote
from isthmus.multicluster.settings import Settings

log = logging.getLogger(__name__)

Tell = Callable[[str, str], None]
"""Called with the reason and the message of a warning about the Link."""


class Mirroring:
    """What was made for a Link and what became of it; `members_changed` tells the owner of federated services."""

    def __init__(
        self, link: Link, local: Local, *, settings: Settings, tell: Tell, members_changed: Callable[[], None]
    ) -> None:
        self.link = link
        self.members: Mapping[Key, Service] | None = None
        """The target's services that are to be members of federated ones; None while they are not known."""
        self.outcomes: tuple[Outcome, ...] | None = None
        self.federated: tuple[Outcome, ...] | None = None
        self.failures: Mapping[Key, errors.KubeError] = {}
        self._local = local
        self._settings = settings
        self._tell = tell
        self._members_changed = members_changed

    async def step(self, remote: Remote | None, gateway: Gateway | None) -> bool:
        """Bring the mirrors to what they should be; whether all could be written.

        Without a `remote` that is known completely what exists stays, and only shows where the gateway is.
        """
        known = remote if remote is not None and remote.synced else None
        self._publish(known.members() if known else None)
        plan = self._plan(known, gateway)
        actions = diff(plan, self.link.target, services=self._local.services, slices=self._local.slices)
        failures = dict(await apply(self._local.client, actions))
        if self._settings.create_namespaces:
            failures |= await create_namespaces(self._local.client, plan.outcomes, self.link.target)
        for key, error in failures.items():
            log.warning("mirror %s/%s: %s", *key, error, extra={"link": self.link.name})
        self.failures = failures
        if known:
            outcomes = tuple(judged(outcome, failures) for outcome in plan.outcomes)
            self._tell_skipped(outcomes, self.outcomes or ())
            self.outcomes = outcomes
        return not failures

    def _publish(self, members: Mapping[Key, Service] | None) -> None:
        if members != self.members:
            self.members = members
            self._members_changed()

    def joined(self, outcomes: tuple[Outcome, ...]) -> bool:
        """Take note of what became of the members; whether that is new."""
        if outcomes == self.federated:
            return False
        self._tell_skipped(outcomes, self.federated or ())
        self.federated = outcomes
        return True

    def _plan(self, remote: Remote | None, gateway: Gateway | None) -> Plan:
        services, namespaces = self._local.services, self._local.namespaces
        if remote is None:
            held = mirrors.hold(self.link, services=services, slices=self._local.slices, gateway=gateway)
            return mirrors.with_probe(held, self.link, gateway=gateway, local=services, namespaces=namespaces)
        return mirrors.plan(
            self.link,
            remote.exports(),
            gateway=gateway,
            local=services,
            namespaces=namespaces,
            with_headless=self._settings.headless,
        )

    def _tell_skipped(self, outcomes: Iterable[Outcome], before: Iterable[Outcome]) -> None:
        """An event for each service that is not mirrored, unless its namespace is about to be there."""
        old = set(before)
        for outcome in outcomes:
            soon = outcome.reason == "MissingNamespace" and self._settings.create_namespaces
            if not outcome.mirrored and outcome not in old and not soon:
                self._tell("ServiceMirroringSkipped", f"{'/'.join(outcome.remote)}: {outcome.message}")


def judged(outcome: Outcome, failures: Mapping[Key, errors.KubeError]) -> Outcome:
    """The outcome after what was planned was tried."""
    error = failures.get(outcome.local)
    return replace(outcome, reason="Error", message=str(error)) if error else outcome
