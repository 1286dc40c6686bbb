"""This cluster as the Link controller sees it: watch caches that all Links share."""

from collections.abc import Callable, Mapping

from isthmus import names
from isthmus.kube.client import Client
from isthmus.kube.informers import Informers
from isthmus.kube.kinds import Object
from isthmus.kube.meta import Key
from isthmus.kube.watch import Informer
from isthmus.multicluster import trust
from isthmus.multicluster.links import Link
from isthmus.multicluster.objects import (
    FEDERATED_TRUST_DOMAINS,
    LINKS,
    NAMESPACES,
    SERVICES,
    SLICES,
    Service,
    Slice,
)
from isthmus.resources.core import CONFIG_MAPS, SECRETS, Secret


class Local:
    """The caches. `namespace` is where Links live, `linkerd_namespace` where the control plane does."""

    def __init__(self, client: Client, *, namespace: str, linkerd_namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.linkerd_namespace = linkerd_namespace
        self._used: dict[Key, bytes] = {}
        self.links = Informer(client, LINKS, namespace=namespace)
        self.registrations = Informer(client, FEDERATED_TRUST_DOMAINS, namespace=namespace)
        self._services = Informer(client, SERVICES)
        self._slices = Informer(client, SLICES, labels=f"{names.MANAGED_BY_LABEL}={names.MIRROR_MANAGER}")
        self._namespaces = Informer(client, NAMESPACES)
        self._secrets = Informer(client, SECRETS, namespace=namespace)
        self._roots = Informer(
            client,
            CONFIG_MAPS,
            namespace=linkerd_namespace,
            fields=f"metadata.name={names.TRUST_ROOTS_CONFIG_MAP}",
        )
        self.informers = Informers(
            self.links,
            self.registrations,
            self._services,
            self._slices,
            self._namespaces,
            self._secrets,
            self._roots,
        )

    def on_mirror_change(self, handler: Callable[[str], None]) -> None:
        """Tell the name of every Service or slice that changed; "" for what concerns every Link."""

        def named(old: Service | Slice | None, new: Service | Slice | None) -> None:
            item = new or old
            if item is not None:
                handler(item.metadata.name)

        def all_links(*_: object) -> None:
            handler("")

        self._services.on_change(named)
        self._slices.on_change(named)
        self._secrets.on_change(all_links)
        self._namespaces.on_change(all_links)

    def on_service_change(self, handler: Callable[[Service | None, Service | None], None]) -> None:
        """Tell every Service that changed, before and after."""
        self._services.on_change(handler)

    def on_namespace_change(self, handler: Callable[..., None]) -> None:
        self._namespaces.on_change(handler)

    def on_roots_change(self, handler: Callable[..., None]) -> None:
        """Call when this cluster's own roots change."""
        self._roots.on_change(handler)

    @property
    def services(self) -> Mapping[Key, Service]:
        return self._services.store

    @property
    def slices(self) -> Mapping[Key, Slice]:
        return self._slices.store

    @property
    def namespaces(self) -> frozenset[str]:
        return frozenset(name for _, name in self._namespaces.store)

    @property
    def own_roots(self) -> trust.Roots | None:
        return trust.roots(self._roots.get(names.TRUST_ROOTS_CONFIG_MAP, self.linkerd_namespace))

    def secret(self, link: Link) -> Secret | None:
        return self._secrets.get(link.credentials_secret, link.namespace)

    def remember(self, link: Link, kubeconfig: bytes) -> None:
        """Keep credentials that something was registered with: the Secret may go with the Link, or just before it."""
        self._used[link.key] = kubeconfig

    def remembered(self, link: Link) -> bytes | None:
        return self._used.get(link.key)

    def forget(self, link: Link) -> None:
        self._used.pop(link.key, None)

    def link(self, key: Key) -> Object | None:
        return self.links.store.get(key)
