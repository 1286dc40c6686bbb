"""What every namespace starts with: a default ServiceAccount, the root certificate, and tokens kept in Secrets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from isthmus.lab.api.tokens import Tokens
from isthmus.lab.caches import Caches
from isthmus.lab.client import (
    CONFIG_MAPS,
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
    Client,
    ConflictError,
    NotFoundError,
    Object,
    Resource,
)
from isthmus.lab.controllers import objects
from isthmus.lab.pki import Pki
from isthmus.lab.reconcile import Reconciler
from isthmus.lab.watch import Change, Key

DEFAULT_ACCOUNT: Final = "default"
ROOT_CONFIG_MAP: Final = "kube-root-ca.crt"
ROOT_KEY: Final = "ca.crt"
TOKEN_TYPE: Final = "kubernetes.io/service-account-token"  # noqa: S105
ACCOUNT_ANNOTATION: Final = "kubernetes.io/service-account.name"


class Namespaces:
    """Gives each namespace its default account and the API server's root certificate."""

    def __init__(self, client: Client, caches: Caches, pki_dir: Path) -> None:
        self._client = client
        self._caches = caches
        self._root = Pki(pki_dir).ca_pem
        self.reconciler: Reconciler[Key] = Reconciler("namespace", self.reconcile)
        caches[NAMESPACES].subscribe(lambda change: self.reconciler.enqueue(change.key))
        caches[SERVICE_ACCOUNTS].subscribe(self._belonging_changed)
        caches[CONFIG_MAPS].subscribe(self._belonging_changed)

    def _belonging_changed(self, change: Change) -> None:
        if change.key[1] in (DEFAULT_ACCOUNT, ROOT_CONFIG_MAP):
            self.reconciler.enqueue(("", change.key[0]))

    async def reconcile(self, key: Key) -> None:
        namespace = self._caches[NAMESPACES].objects.get(key)
        if namespace is None or objects.deleting(namespace):
            return
        name = key[1]
        if self._caches[SERVICE_ACCOUNTS].get(DEFAULT_ACCOUNT, name) is None:
            await self._create(SERVICE_ACCOUNTS, _named("v1", "ServiceAccount", DEFAULT_ACCOUNT, name))
        root = self._caches[CONFIG_MAPS].get(ROOT_CONFIG_MAP, name)
        wanted = {**_named("v1", "ConfigMap", ROOT_CONFIG_MAP, name), "data": {ROOT_KEY: self._root}}
        if root is None:
            await self._create(CONFIG_MAPS, wanted)
        elif root.get("data") != wanted["data"]:
            await self._client.patch(CONFIG_MAPS, ROOT_CONFIG_MAP, {"data": wanted["data"]}, name)

    async def _create(self, resource: Resource, item: Object) -> None:
        try:
            self._caches[resource].observe(await self._client.create(resource, item))
        except ConflictError:
            return


class AccountTokens:
    """Fills Secrets of type service-account-token, and deletes those whose account is gone."""

    def __init__(self, client: Client, caches: Caches, pki_dir: Path) -> None:
        self._client = client
        self._caches = caches
        pki = Pki(pki_dir)
        self._root = pki.ca_pem
        self._tokens = Tokens.load(pki.account_key.read_bytes())
        self.reconciler: Reconciler[Key] = Reconciler("account token", self.reconcile)
        caches[SECRETS].subscribe(self._secret_changed)
        caches[SERVICE_ACCOUNTS].subscribe(self._account_changed)

    def _secret_changed(self, change: Change) -> None:
        if change.new is not None and change.new.get("type") == TOKEN_TYPE:
            self.reconciler.enqueue(change.key)

    def _account_changed(self, change: Change) -> None:
        for secret in self._caches.in_namespace(SECRETS, change.key[0]):
            if _account_name(secret) == change.key[1]:
                self.reconciler.enqueue((change.key[0], secret["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        secret = self._caches[SECRETS].objects.get(key)
        if secret is None or objects.deleting(secret) or secret.get("type") != TOKEN_TYPE:
            return
        account = self._caches[SERVICE_ACCOUNTS].get(_account_name(secret), key[0])
        if account is None:
            await self._orphaned(secret)
            return
        data: Mapping[str, Any] = secret.get("data") or {}
        if not all(data.get(field) for field in ("token", ROOT_KEY, "namespace")):
            uid, name = objects.uid(account), account["metadata"]["name"]
            filled = self._tokens.service_account_secret_data(key[0], name, self._root, uid=uid, secret=key[1])
            change = {
                "metadata": {"annotations": {"kubernetes.io/service-account.uid": uid}},
                "data": filled,
            }
            self._caches[SECRETS].observe(await self._client.patch(SECRETS, key[1], change, key[0]))

    async def _orphaned(self, secret: Object) -> None:
        """A token is deleted with its account, but waits for an account that is yet to be made."""
        if not (secret.get("data") or {}).get("token"):
            return
        metadata = secret["metadata"]
        try:
            await self._client.delete(SECRETS, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except NotFoundError:
            return


def _account_name(secret: Object) -> str:
    return objects.annotations(secret).get(ACCOUNT_ANNOTATION, "") if secret.get("type") == TOKEN_TYPE else ""


def _named(version: str, kind: str, name: str, namespace: str) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
