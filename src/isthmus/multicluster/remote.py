"""A linked cluster as seen through a Link's credentials: what it exports, and its roots.

All remote Services are watched once and trimmed when decoding, because the annotation that exports a service is out of
reach of a server-side selector. Readiness is watched for exported services only.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.meta import Key
from isthmus.kube.watch import Informer, Signal
from isthmus.multicluster import credentials, trust
from isthmus.multicluster.links import Link, Mode
from isthmus.multicluster.objects import SERVICES, Service
from isthmus.multicluster.plans import Export
from isthmus.multicluster.published import GATEWAY_SERVICES, GatewayService
from isthmus.multicluster.pulse import Pulse
from isthmus.multicluster.readiness import Readiness
from isthmus.multicluster.status import Condition
from isthmus.resources.core import CONFIG_MAPS

API_SERVICE: Final[Key] = ("default", "kubernetes")
_REASONS: Final[tuple[tuple[type[errors.KubeError], str], ...]] = (
    (errors.Unauthorized, "CredentialsRejected"),
    (errors.Forbidden, "Forbidden"),
    (errors.ConfigError, "SecretInvalid"),
    (errors.Untrusted, "CertificateNotTrusted"),
    (errors.KubeError, "Unreachable"),
)
"""The first matching error class decides the reason of the condition `Reachable`."""


class Remote:
    """One connection's worth of knowledge; new credentials start afresh. `changed` tells whoever plans with it."""

    def __init__(self, client: Client, link: Link, changed: Signal) -> None:
        self.client = client
        self.link = link
        self._changed = changed
        self._dirty = Signal()
        self._services = Informer(client, SERVICES)
        self._roots = Informer(
            client,
            CONFIG_MAPS,
            namespace=link.linkerd_namespace,
            fields=f"metadata.name={names.TRUST_ROOTS_CONFIG_MAP}",
        )
        self.roots_changed = Signal()
        self._gateway_changed: Callable[[], None] = lambda: None
        self._gateway: Informer[GatewayService] | None = None
        if link.gateway_service is not None:
            namespace, name = link.gateway_service
            self._gateway = Informer(
                client,
                GATEWAY_SERVICES,
                namespace=namespace,
                fields=f"metadata.name={name}",
            )
        self.pulse = Pulse(client, link, lambda: bool(self._through_gateway()))
        self._readiness: Readiness | None = None
        self._complete = False

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        self._services.on_change(self._dirty.set)
        self._roots.on_change(self.roots_changed.set)
        self._roots.on_change(self._changed.set)
        async with asyncio.TaskGroup() as group:
            self._readiness = Readiness(self.client, group, self._changed)
            group.create_task(self._services.run())
            group.create_task(self._roots.run())
            if self._gateway is not None:
                group.create_task(self._gateway.run())
                group.create_task(self._tell_gateway(self._gateway))
            group.create_task(self.pulse.run())
            group.create_task(self._follow_exports(self._readiness))

    async def _follow_exports(self, readiness: Readiness) -> None:
        await self._services.synced.wait()
        while True:
            readiness.follow(self._through_gateway())
            self._changed.set()
            await self._dirty.wait()

    def on_gateway_change(self, told: Callable[[], None]) -> None:
        """Tell when the gateway's Service is known, and when it is different."""
        self._gateway_changed = told
        if self._gateway is not None:
            self._gateway.on_change(lambda *_: told())

    async def _tell_gateway(self, informer: Informer[GatewayService]) -> None:
        """Nothing is told of a Service that does not exist."""
        await informer.synced.wait()
        self._gateway_changed()

    @property
    def gateway_known(self) -> bool:
        return self._gateway is not None and self._gateway.synced.is_set()

    @property
    def gateway(self) -> GatewayService | None:
        """The Service that the Link names as its gateway's."""
        key = self.link.gateway_service
        return self._gateway.get(key[1], key[0]) if self._gateway and key else None

    def relink(self, link: Link) -> None:
        """The Link's selector may have changed."""
        self.link = link
        self._dirty.set()

    @property
    def synced(self) -> bool:
        """Whether exports and their readiness have been known completely since the connection was made."""
        if not self._complete and self._services.synced.is_set() and self._readiness is not None:
            self._complete = self._readiness.synced
        return self._complete

    def exports(self) -> list[Export]:
        return [
            self._export(service, mode)
            for service in self._services.store.values()
            if (mode := self.link.mode(service))
        ]

    def _export(self, service: Service, mode: Mode) -> Export:
        known = self._readiness
        if known is None or mode == "flat":
            return Export(service, False, mode)
        hosts = known.hosts(service.key) if service.headless else None
        return Export(service, known.ready(service.key), mode, hosts)

    def _through_gateway(self) -> set[str]:
        """Names of the services whose readiness shows in their mirrors; the pods of others are followed by proxies."""
        services = self._services.store.values() if self.link.gateway_hosts else ()
        return {service.metadata.name for service in services if self.link.mode(service) == "gateway"}

    def members(self) -> dict[Key, Service]:
        """The services that are to be members of federated services."""
        return {service.key: service for service in self._services.store.values() if self.link.joins(service)}

    def is_the_cluster_of(self, services: Mapping[Key, Service]) -> bool:
        """Whether it is the cluster with these Services: each has a `kubernetes`, with a UID of its own."""
        own, theirs = services.get(API_SERVICE), self._services.store.get(API_SERVICE)
        return own is not None and theirs is not None and own.metadata.uid == theirs.metadata.uid != ""

    @property
    def roots(self) -> trust.Roots | None:
        return trust.roots(self._roots.get(names.TRUST_ROOTS_CONFIG_MAP, self.link.linkerd_namespace))

    @property
    def roots_known(self) -> bool:
        """Whether an absent ConfigMap is really absent."""
        return self._roots.synced.is_set()

    def reachable(self) -> Condition:
        """The condition `Reachable`, from the state of all watches."""
        watched = (self._services.error, self._roots.error, self._readiness.error if self._readiness else None)
        followed = sorted((self.pulse.error, *watched), key=_severity)
        error = next((error for error in followed if error), None)
        if error is not None:
            return unreachable(self.link, error)
        if not self.synced or not self.roots_known:
            return Condition("Reachable", "Connecting", f"Reading from {self.client.server}.")
        return Condition("Reachable", "Connected", f"Following {self.client.server}.")


def _severity(error: errors.KubeError | None) -> int:
    """The cause before what follows from it."""
    return next((index for index, (kind, _) in enumerate(_REASONS) if isinstance(error, kind)), len(_REASONS))


def unreachable(link: Link, error: errors.KubeError) -> Condition:
    """The condition for an error of the target's API server, with what to do about it."""
    reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
    advice = {
        "CredentialsRejected": f"The token was revoked or has expired. {credentials.relink(link)}",
        "CertificateNotTrusted": f"Either the address leads to another server, or {link.target} has a new certificate "
        f"authority, or the clocks differ. {credentials.relink(link)}",
        "Forbidden": f"Run `linkerd multicluster install` against {link.target} again, which renews the permissions.",
        "SecretInvalid": credentials.relink(link),
        "Unreachable": "What is mirrored stays as it is; retrying. If the address is wrong, link again with "
        "--api-server-address.",
    }[reason]
    sentence = str(error).rstrip(".")
    return Condition("Reachable", reason, f"{sentence}. {advice}")
