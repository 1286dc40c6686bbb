"""A Link's credentials over time: real tokens of a real API server, renewed with the permissions of the manifests."""

import base64
import time
from dataclasses import replace
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from isthmus import names
from isthmus.kube.client import connect
from isthmus.lab.api.tokens import Account
from isthmus.multicluster import tokens
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.renewal import Renewal
from isthmus.resources import core

from .clusters import NAMESPACE, ROLES, SECRETS, Cluster
from .values import link

LIFE = 900
SECRET = "cluster-credentials-east"


def token(cluster: Cluster, *, age: float) -> str:
    """A token of the remote access account that was made so many seconds ago."""
    then = replace(cluster.tokens.made, clock=lambda: time.time() - age)
    item: Any = cluster.store.get("", "serviceaccounts", NAMESPACE, names.REMOTE_ACCESS_ACCOUNT)
    account = Account(NAMESPACE, names.REMOTE_ACCESS_ACCOUNT, item["metadata"]["uid"])
    return then.mint(account, audiences=[then.issuer], seconds=LIFE)[0]


async def link_with(west: Cluster, east: Cluster, secret: str, **annotations: str) -> None:
    await west.give_credentials("east", east.kubeconfig(secret))
    await west.client.patch(SECRETS, SECRET, {"metadata": {"annotations": annotations}}, NAMESPACE)
    await west.link(east, credentials=False)


def in_use(cluster: Cluster) -> str:
    """The token in the Secret now."""
    item = cluster.get("Secret", SECRET, NAMESPACE)
    assert item is not None
    config = yaml.safe_load(base64.b64decode(item["data"][names.CREDENTIALS_KEY]))
    return str(config["users"][0]["user"]["token"])


async def test_at_two_thirds_of_its_life_a_token_is_exchanged_for_the_next(west: Cluster, east: Cluster) -> None:
    old = token(east, age=LIFE * 0.7)
    await east.export()
    await link_with(west, east, old)
    async with west.controller(), east.controller():
        await west.until(lambda: in_use(west) != old)
        found = tokens.parse(in_use(west))
        assert found is not None
        assert (found.account, found.life) == (names.REMOTE_ACCESS_ACCOUNT, LIFE)
        east.tokens.revoked.add(old)
        await west.until(lambda: west.link_status().get("credentialsExpireAt") == found.expiry)
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")
        await east.export("another")
        await west.until(lambda: west.outcome("another") == "Mirrored")
        assert found.expiry in west.message("Reachable")
        assert west.condition("Reachable") == "True Connected"


async def test_a_young_token_one_that_never_expires_and_one_that_is_not_to_be_renewed_stay(
    west: Cluster, east: Cluster
) -> None:
    old = token(east, age=LIFE * 0.9)
    for secret, annotations in (
        (token(east, age=0), {}),
        (east.remote_access, {}),
        (old, {names.RENEW_ANNOTATION: "false"}),
    ):
        await link_with(west, east, secret, **annotations)
        async with west.controller(), east.controller():
            await west.until(lambda: west.condition("TrustEstablished") == "True Established")
            assert in_use(west) == secret
            expires = tokens.parse(secret)
            assert west.link_status()["credentialsExpireAt"] == (expires.expiry if expires else "")
            await west.unlink()
            await west.until(lambda: west.get("Link", "linkerd-east", NAMESPACE) is None)


async def test_a_renewal_that_is_refused_is_told_while_the_link_still_works(west: Cluster, east: Cluster) -> None:
    """As in a cluster whose extension is older than the permission."""
    role = f"{names.REMOTE_ACCESS_ACCOUNT}-trust"
    rules = (await east.client.get(ROLES, role, NAMESPACE))["rules"]
    kept = [rule for rule in rules if rule["resources"] != ["serviceaccounts/token"]]
    await east.client.patch(ROLES, role, {"rules": kept}, NAMESPACE)
    await link_with(west, east, token(east, age=LIFE * 0.9))
    async with west.controller(), east.controller():
        await west.until(lambda: west.condition("Reachable") == "True CredentialsNotRenewed")
        assert "forbids to create a token of ServiceAccount" in west.message("Reachable")
        await west.until(lambda: west.events("CredentialsNotRenewed"))
        await east.client.patch(ROLES, role, {"rules": rules}, NAMESPACE)
        await west.until(lambda: west.condition("Reachable") == "True Connected")


async def test_a_token_that_expired_while_nobody_was_there_says_so_and_how_to_get_another(
    west: Cluster, east: Cluster
) -> None:
    await link_with(west, east, token(east, age=LIFE + 60))
    async with west.controller():
        await west.until(lambda: west.condition("Reachable") == "False CredentialsExpired")
        assert "The credentials for east expired at " in west.message("Reachable")
        assert "Run `linkerd multicluster link --cluster-name east`" in west.message("Reachable")
        await west.give_credentials("east", east.kubeconfig(token(east, age=0)))
        await west.until(lambda: west.condition("Reachable") == "True Connected")


async def test_credentials_that_a_person_gives_are_never_undone(west: Cluster, east: Cluster) -> None:
    """A renewal is under way with the old ones when they come: its write is refused, and the person's stays."""
    old, given = east.kubeconfig(token(east, age=LIFE * 0.9)), token(east, age=1)
    await west.give_credentials("east", old)
    before = await west.client.get(core.SECRETS, SECRET, NAMESPACE)
    await west.give_credentials("east", east.kubeconfig(given))
    metrics = Metrics(CollectorRegistry())
    renewal = Renewal(link(), west.client, metrics=metrics, changed=lambda: None)
    renewal.begin(old)
    async with connect(old) as remote:
        await renewal.run(remote, old, before)
    await west.until(lambda: in_use(west) == given)
    after = await west.client.get(core.SECRETS, SECRET, NAMESPACE)
    assert after.data == {names.CREDENTIALS_KEY: base64.b64encode(east.kubeconfig(given)).decode()}
