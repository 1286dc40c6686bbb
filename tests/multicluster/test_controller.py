"""What a Link does in the clusters it connects, against real API servers and with the permissions that we install."""

import asyncio

import pytest

from isthmus import names
from isthmus.kube import errors, pki
from isthmus.kube.client import connect
from isthmus.multicluster.objects import FEDERATED_TRUST_DOMAINS, LINKS

from .clusters import NAMESPACE, NAMESPACES, SECRETS, SERVICES, Cluster, Gateway

MIRROR = "backend-east"
UP = [("203.0.113.10", True)]
DOWN = [("203.0.113.10", False)]


async def test_an_exported_service_is_mirrored_and_follows_its_service(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.addresses(MIRROR) == UP)
        await west.until(lambda: west.outcome("backend") == "Mirrored")

        await east.scale(ready=False)
        await west.until(lambda: west.addresses(MIRROR) == [])
        await east.scale(ready=True)
        await west.until(lambda: west.addresses(MIRROR) == UP)

        ports = [{"name": "http", "port": 9090, "protocol": "TCP"}]
        await east.client.patch(SERVICES, "backend", {"spec": {"ports": ports}}, "default")
        await west.until(lambda: (west.get("Service", MIRROR) or {})["spec"]["ports"][0]["port"] == 9090)

        await east.client.delete(SERVICES, "backend", "default")
        await west.until(lambda: MIRROR not in west.names())
        await west.until(lambda: west.addresses(MIRROR) is None)
        await west.until(lambda: west.link_status()["services"] == "0/0")


async def test_unexporting_removes_the_mirror_and_exporting_again_brings_it_back(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: MIRROR in west.names())
        for value, present in ((None, False), ("true", True)):
            body = {"metadata": {"annotations": {names.EXPORTED: value}}}
            await east.client.patch(SERVICES, "backend", body, "default")
            await west.until(lambda present=present: (MIRROR in west.names()) is present)


async def test_a_link_that_works_is_ready_and_says_so_in_every_column(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url), east.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("Ready") == "True Ready")
        status = west.link_status()
        assert (status["alive"], status["services"], status["ready"], status["reason"]) == (
            "True",
            "1/1",
            "True",
            "Ready",
        )
        assert status["latency"].endswith("ms")
        assert (status["trustDomain"], status["trustBundle"].strip()) == ("east.example", east.roots.strip())
        assert status["registeredTrustDomain"] == "west.example"
        assert status["mirrorServices"][0]["controllerName"] == "linkerd.io/service-mirror"


async def test_a_changed_link_is_not_called_broken_while_it_is_followed_anew(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url), east.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("Ready") == "True Ready")
        seen: list[str] = []

        def followed_anew() -> bool:
            seen.append(west.link_status()["reason"])
            return bool(west.link_status()["services"] == "0/0")

        nothing = {"matchLabels": {"mirror.linkerd.io/exported": "elsewhere"}, "matchExpressions": None}
        await west.client.patch(LINKS, "linkerd-east", {"spec": {"selector": nothing}}, NAMESPACE)
        await west.until(followed_anew)
        assert set(seen) == {"Ready"}


async def test_roots_are_exchanged_and_follow_a_rotation(east: Cluster, west: Cluster, gateway: Gateway) -> None:
    async with west.controller(gateway.url), east.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")
        registered = east.get("FederatedTrustDomain", "west.example", NAMESPACE)
        assert registered
        assert registered["spec"]["bundle"].strip() == west.roots.strip()
        assert registered["status"]["accepted"] == "True"

        both = east.roots + west.roots
        await east.publish_roots(both)
        await west.until(lambda: west.link_status()["trustBundle"].strip() == both.strip())
        await west.publish_roots(both)
        await east.until(lambda: east.registration("west")["status"]["bundle"].strip() == both.strip())
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")


async def test_roots_that_are_all_replaced_at_once_do_not_count_until_an_operator_says_so(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    async with west.controller(gateway.url), east.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")
        trusted = {"east": east.roots, "west": west.roots}
        await west.publish_roots(pki.make_root("somebody").cert_pem)
        await east.until(lambda: east.registration("west")["status"]["reason"] == "BundleReplaced")
        assert east.registration("west")["status"]["bundle"].strip() == trusted["west"].strip()
        await west.until(lambda: west.condition("TrustEstablished") == "False RegistrationRefused")
        assert "delete federatedtrustdomain west.example" in west.message("TrustEstablished")
        await east.client.delete(FEDERATED_TRUST_DOMAINS, "west.example", NAMESPACE)
        await west.until(lambda: west.condition("TrustEstablished") == "True Established")

        await east.publish_roots(pki.make_root("somebody else").cert_pem)
        await west.until(lambda: west.condition("TrustEstablished") == "False RootsRefused")
        assert west.message("TrustEstablished").startswith("The roots of east are not accepted.")
        assert west.message("TrustEstablished").endswith("If they should be, link east again.")
        assert west.link_status()["trustBundle"].strip() == trusted["east"].strip()
        again = {"spec": {"targetTrustDomain": "east.example", "targetTrustBundle": east.roots}}
        await west.client.patch(LINKS, "linkerd-east", again, NAMESPACE)
        await west.until(lambda: west.link_status()["trustBundle"].strip() == east.roots.strip())


async def test_credentials_for_linking_cannot_write_the_verdict(east: Cluster, west: Cluster) -> None:
    """Neither with the object, nor afterwards, nor on its own."""
    forged = {"accepted": "True", "trustDomain": "west.example", "bundle": west.roots}
    spec = {"trustDomain": "west.example", "bundle": west.roots}
    metadata = {"name": "west.example", "namespace": NAMESPACE}
    async with connect(east.kubeconfig(east.remote_access)) as client:
        made = await client.create(FEDERATED_TRUST_DOMAINS, {"metadata": metadata, "spec": spec, "status": forged})
        assert "status" not in made
        made = await client.patch(FEDERATED_TRUST_DOMAINS, "west.example", {"status": forged}, NAMESPACE)
        assert "status" not in made
        with pytest.raises(errors.Forbidden):
            await client.patch_status(FEDERATED_TRUST_DOMAINS, "west.example", forged, NAMESPACE)


async def test_a_gateway_that_stops_answering_makes_mirrors_not_ready_until_it_is_back(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.addresses(MIRROR) == UP)
        await west.until(lambda: west.link_status().get("alive") == "True")
        gateway.status = 503
        await west.until(lambda: west.addresses(MIRROR) == DOWN)
        await west.until(lambda: west.condition("GatewayAlive").startswith("False "))
        await east.export("created-while-down")
        await west.until(lambda: west.addresses("created-while-down-east") == DOWN)
        gateway.status = 200
        await west.until(lambda: west.addresses(MIRROR) == UP)
        await west.until(lambda: west.addresses("created-while-down-east") == UP)
        await west.until(lambda: west.link_status().get("alive") == "True")
        await west.until(lambda: west.events("GatewayDown"))


async def test_a_missing_namespace_is_reported_and_its_services_appear_with_it(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await east.export("cart", "shop")
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.outcome("cart") == "MissingNamespace")
        await west.until(lambda: west.events("ServiceMirroringSkipped"))
        assert west.condition("Synced") == "False Incomplete"
        await west.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
        await west.until(lambda: west.addresses("cart-east", "shop") == UP)
        await west.until(lambda: west.outcome("cart") == "Mirrored")


async def test_a_service_of_the_user_is_never_touched_and_gives_way_when_the_user_removes_it(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    own = {"metadata": {"name": MIRROR, "namespace": "default"}, "spec": {"ports": [{"port": 1}]}}
    before = await west.client.create(SERVICES, own)
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.outcome("backend") == "Error")
        assert await west.client.get(SERVICES, MIRROR, "default") == before
        await west.client.delete(SERVICES, MIRROR, "default")
        await west.until(lambda: west.addresses(MIRROR) == UP)


async def test_deleting_a_link_removes_everything_it_made_in_both_clusters(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    before = set(west.names())
    async with west.controller(gateway.url), east.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("Ready") == "True Ready")
        assert set(west.names()) - before == {MIRROR, "probe-east"}
        await west.unlink()
        await west.until(lambda: west.get("Link", "linkerd-east", NAMESPACE) is None)
        await west.until(lambda: set(west.names()) == before)
        await west.until(lambda: west.addresses(MIRROR) is None and west.addresses("probe-east", NAMESPACE) is None)
        await east.until(lambda: not east.all("FederatedTrustDomain"))


async def test_a_link_deleted_while_the_controller_was_away_is_cleaned_up_when_it_is_back(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.addresses(MIRROR) == UP)
    await west.unlink()
    assert (await west.client.get(SERVICES, MIRROR, "default"))["metadata"]["name"] == MIRROR
    async with west.controller(gateway.url):
        await west.until(lambda: MIRROR not in west.names() and "probe-east" not in west.names())
        await west.until(lambda: not west.all("Link"))


async def test_a_link_whose_target_is_gone_can_be_deleted_and_says_what_it_left(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.addresses(MIRROR) == UP)
        await west.until(lambda: west.link_status().get("registeredTrustDomain"))
        await west.give_credentials("east", east.kubeconfig(east.remote_access, "http://127.0.0.1:9"))
        await west.until(lambda: west.condition("Reachable") == "False Unreachable")
        assert west.addresses(MIRROR) is not None
        await west.unlink()
        await west.until(lambda: not west.all("Link") and MIRROR not in west.names())
        (told,) = await west.until(lambda: west.events("LeftBehind"))
        assert "delete federatedtrustdomain west.example" in told


async def test_credentials_that_do_not_work_say_what_to_do_and_new_ones_are_used_at_once(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east, credentials=False)
        await west.until(lambda: west.condition("Reachable") == "False SecretMissing")
        assert "linkerd multicluster link --cluster-name east" in west.message("Reachable")
        await west.give_credentials("east", b"garbage")
        await west.until(lambda: west.condition("Reachable") == "False SecretInvalid")
        await west.give_credentials("east", b"users: [{name: a, user: {exec: {command: /bin/true}}}]")
        await west.until(lambda: "exec" in west.message("Reachable"))
        await west.give_credentials("east", east.kubeconfig("nobody"))
        await west.until(lambda: west.condition("Reachable") == "False CredentialsRejected")
        await west.give_credentials("east", east.kubeconfig("default:default"))
        await west.until(lambda: west.condition("Reachable") == "False Forbidden")
        await west.give_credentials("east", east.kubeconfig(east.remote_access))
        await west.until(lambda: west.condition("Reachable") == "True Connected")
        await west.until(lambda: west.addresses(MIRROR) == UP)


async def test_of_two_links_to_one_target_the_older_counts_and_the_other_takes_over(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east, name="first")
        await west.until(lambda: west.condition("Synced", "first") == "True Synced")
        await west.link(east, name="second")
        await west.until(lambda: west.condition("Accepted", "second") == "False DuplicateTarget")
        mirror = await west.client.get(SERVICES, MIRROR, "default")
        await west.unlink("first")
        await west.until(lambda: west.condition("Synced", "second") == "True Synced")
        after = await west.client.get(SERVICES, MIRROR, "default")
        assert after["metadata"]["uid"] == mirror["metadata"]["uid"]


async def test_a_broken_target_does_not_disturb_another(east: Cluster, west: Cluster, gateway: Gateway) -> None:
    await east.export()
    north = Cluster("north")
    north.url = "http://127.0.0.1:9"
    async with west.controller(gateway.url):
        await west.link(north)
        await west.until(lambda: west.condition("Reachable", "linkerd-north") == "False Unreachable")
        await west.link(east)
        await west.until(lambda: west.addresses(MIRROR) == UP)


async def test_mirrors_of_a_cluster_that_no_link_names_are_swept_away(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    labels = {names.MIRRORED_SERVICE_LABEL: "true", names.CLUSTER_NAME_LABEL: "gone"}
    orphan = {
        "metadata": {"name": "old-gone", "namespace": "default", "labels": labels},
        "spec": {"ports": [{"port": 1}]},
    }
    await west.client.create(SERVICES, orphan)
    async with west.controller(gateway.url):
        await west.until(lambda: "old-gone" not in west.names())


async def test_more_exports_than_one_watch_follows_arrive_together(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(east.export(f"web-{number}", ready=number % 2 == 0))
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.link_status().get("services") == "60/60")
        await west.until(lambda: west.addresses("web-58-east") == UP and west.addresses("web-59-east") == [])


async def test_a_link_that_never_worked_says_why_in_an_event_and_leaves_nothing_behind(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    async with west.controller(gateway.url):
        await west.link(east, credentials=False)
        (told,) = await west.until(lambda: west.events("SecretMissing"))
        assert "linkerd multicluster link --cluster-name east" in told
        await west.until(lambda: west.condition("GatewayAlive") == "True Alive")
        await west.unlink()
        await west.until(lambda: not west.all("Link") and "probe-east" not in west.names())
    assert not west.events("LeftBehind")


async def test_credentials_deleted_together_with_the_link_still_withdraw_the_registration(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.link_status().get("registeredTrustDomain"))
        await west.client.delete(SECRETS, "cluster-credentials-east", "linkerd-multicluster")
        await west.until(lambda: west.condition("Reachable") == "False SecretMissing")
        await west.unlink()
        await west.until(lambda: not west.all("Link"))
        assert not east.all("FederatedTrustDomain")
