"""All the ways in which services of one cluster appear in another, against real API servers."""

import pytest
from tests.kube.waiting import until

from isthmus import names
from isthmus.multicluster.objects import LINKS
from isthmus.multicluster.settings import Settings

from .clusters import CLUSTER_ROLES, NAMESPACE, NAMESPACES, SERVICES, SLICES, Cluster, Gateway
from .values import link_object

UP = [("203.0.113.10", True)]
DOWN = [("203.0.113.10", False)]
FLAT = {names.EXPORTED: "remote-discovery"}
MEMBER = {names.FEDERATED: "member"}
WITHOUT_GATEWAY = {"gatewayAddress": "", "gatewayPort": "", "gatewayIdentity": ""}


# --- flat ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["labels", "annotations"])
async def test_a_service_exported_for_remote_discovery_has_a_mirror_without_endpoints(
    east: Cluster, west: Cluster, gateway: Gateway, how: str
) -> None:
    await east.serve("web", **{how: FLAT})
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.outcome("web") == "Mirrored")
        found = west.service("web-east")
        assert found["multicluster.linkerd.io/remote-discovery"] == "east"
        assert found["multicluster.linkerd.io/remote-service"] == "web"
        assert found["mirror.linkerd.io/cluster-name"] == "east"
        assert found["mirror.linkerd.io/remote-svc-fq-name"] == "web.default.svc.cluster.local"
        assert west.addresses("web-east") is None
        assert west.ports("web-east") == ["http"]


async def test_a_link_without_gateway_mirrors_what_needs_none_and_is_ready(east: Cluster, west: Cluster) -> None:
    await east.serve("web", labels=FLAT)
    await east.serve("shop", labels=MEMBER)
    async with west.controller(), east.controller():
        await west.link(east, selector={}, **WITHOUT_GATEWAY)
        await west.until(lambda: west.condition("Ready") == "True Ready")
        assert {"web-east", "shop-federated"} <= set(west.names())
        assert "probe-east" not in west.names()
        assert west.condition("GatewayAlive") == "True NoGateway"
        assert (west.link_status()["alive"], west.link_status()["services"]) == ("", "1/1")

        await east.export("backend")
        again = {"matchLabels": {names.EXPORTED: "true"}}
        await west.client.patch(LINKS, "linkerd-east", {"spec": {"selector": again}}, NAMESPACE)
        await west.until(lambda: west.outcome("backend") == "Error")
        assert "no gatewayAddress" in west.message("Synced")
        assert "web-east" in west.names()


async def test_a_mirror_follows_its_service_from_the_gateway_to_flat_and_back(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export("web")
    async with west.controller(gateway.url):
        await west.link(east)
        for mode, addresses in (("remote-discovery", None), ("true", UP), ("remote-discovery", None)):
            await east.label("web", exported=mode)
            await west.until(lambda addresses=addresses: west.addresses("web-east") == addresses)
            flat = addresses is None
            await west.until(
                lambda flat=flat: ("multicluster.linkerd.io/remote-service" in west.service("web-east")) is flat
            )


# --- federated ----------------------------------------------------------------------------------------------------
async def test_a_federated_service_is_the_union_of_all_clusters_and_goes_with_its_last_member(
    east: Cluster, north: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.serve("web", labels=MEMBER, port="east-port")
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.members("web-federated") == ("", "web@east"))
        found = west.service("web-federated")
        assert found[names.MIRRORED_SERVICE_LABEL] == "true"
        assert names.CLUSTER_NAME_LABEL not in found
        assert west.addresses("web-federated") is None
        await west.until(lambda: west.outcome("web", of="federatedServices") == "Mirrored")

        await west.link(north)
        await north.serve("web", annotations=MEMBER, port="north-port")
        await west.until(lambda: west.members("web-federated") == ("", "web@east,web@north"))
        assert west.ports("web-federated") == ["east-port"]
        await west.serve("web", labels={**MEMBER, "test-context": "west"}, port="west-port")
        await west.until(lambda: west.members("web-federated") == ("web", "web@east,web@north"))
        await west.until(lambda: west.ports("web-federated") == ["west-port"])
        assert west.service("web-federated")["test-context"] == "west"

        await west.label("web", federated=None)
        await west.until(lambda: west.ports("web-federated") == ["east-port"])
        assert "test-context" not in west.service("web-federated")
        await east.label("web", federated=None)
        await west.until(lambda: west.ports("web-federated") == ["north-port"])
        assert west.members("web-federated") == ("", "web@north")
        await north.client.delete(SERVICES, "web", "default")
        await west.until(lambda: "web-federated" not in west.names())
        await west.until(lambda: west.link_status("linkerd-north").get("federatedServices") == [])


async def test_members_of_this_cluster_are_federated_without_any_link(west: Cluster) -> None:
    await west.serve("web", labels={**MEMBER, "evil.linkerd/a": "b", "good": "yes"})
    async with west.controller(settings=Settings(excluded_labels=("evil.linkerd/*",))):
        await west.until(lambda: west.members("web-federated") == ("web", ""))
        assert west.service("web-federated")["good"] == "yes"
        assert "evil.linkerd/a" not in west.service("web-federated")
        await west.label("web", federated=None)
        await west.until(lambda: "web-federated" not in west.names())


async def test_a_deleted_link_leaves_every_federated_service_before_it_is_gone(
    east: Cluster, north: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.serve("web", labels=MEMBER)
    await east.serve("shop", labels=MEMBER)
    await north.serve("web", labels=MEMBER)
    async with west.controller(gateway.url):
        await west.link(east)
        await west.link(north)
        await west.until(lambda: west.members("web-federated") == ("", "web@east,web@north"))
        await west.until(lambda: west.members("shop-federated") == ("", "shop@east"))
        await west.unlink()
        await west.until(lambda: west.get("Link", "linkerd-east", NAMESPACE) is None)
        found = {item["metadata"]["name"]: item for item in await west.client.list(SERVICES, "default")}
        assert "shop-federated" not in found
        assert found["web-federated"]["metadata"]["annotations"][names.REMOTE_DISCOVERY] == "web@north"


async def test_a_link_stays_until_it_has_left_every_federated_service(
    east: Cluster, west: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await east.serve("web", labels=MEMBER)
    async with west.controller():
        await west.link(east, **WITHOUT_GATEWAY)
        await west.until(lambda: west.members("web-federated") == ("", "web@east"))
        rules = west.granted()
        await west.grant([rule | {"verbs": ["get", "list", "watch"]} for rule in rules])
        await west.unlink()
        await until(lambda: "Link linkerd-east: " in caplog.text)
        assert west.get("Link", "linkerd-east", NAMESPACE)
        await west.grant(rules)
        await west.until(lambda: west.get("Link", "linkerd-east", NAMESPACE) is None)
        assert not [item for item in await west.client.list(SERVICES) if "federated" in item["metadata"]["name"]]


async def test_a_new_controller_keeps_members_of_a_cluster_that_is_away(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.serve("web", labels=MEMBER, port="east-port")
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.members("web-federated") == ("", "web@east"))
    await west.give_credentials("east", east.kubeconfig(east.remote_access, "http://127.0.0.1:9"))
    async with west.controller(gateway.url):
        await west.until(lambda: west.condition("Reachable") == "False Unreachable")
        await west.serve("shop", labels=MEMBER)
        await west.until(lambda: west.members("shop-federated") == ("shop", ""))
        assert west.members("web-federated") == ("", "web@east")
        assert west.ports("web-federated") == ["east-port"]


async def test_what_cannot_be_federated_says_why(east: Cluster, west: Cluster, gateway: Gateway) -> None:
    await east.serve("db", labels=MEMBER, headless=True)
    await east.serve("shop", labels=MEMBER)
    own = await west.client.create(
        SERVICES, {"metadata": {"name": "shop-federated", "namespace": "default"}, "spec": {"ports": [{"port": 1}]}}
    )
    await west.serve("cache", labels=MEMBER, headless=True)
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.outcome("db", of="federatedServices") == "InvalidService")
        await west.until(lambda: west.outcome("shop", of="federatedServices") == "Error")
        await west.until(lambda: west.condition("Synced") == "False Incomplete")
        await west.until(lambda: len(west.events("ServiceMirroringSkipped")) == 3)
        (about,) = [item for item in west.all("Event").values() if item["involvedObject"]["kind"] == "Service"]
        assert about["involvedObject"]["name"] == "cache"
        assert await west.client.get(SERVICES, "shop-federated", "default") == own
        await west.client.delete(SERVICES, "shop-federated", "default")
        await west.until(lambda: west.members("shop-federated") == ("", "shop@east"))


# --- headless -----------------------------------------------------------------------------------------------------
async def test_pods_of_a_headless_service_keep_their_names(east: Cluster, west: Cluster, gateway: Gateway) -> None:
    await east.serve("db", headless=True, labels={names.EXPORTED: "true"})
    await east.run_pods("db", db_0=True, db_1=True)
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.hosts("db-east").keys() == {"db-0", "db-1"})
        assert west.cluster_ip("db-east") == "None"
        for pod in ("db-0", "db-1"):
            assert west.hosts("db-east")[pod] == (west.cluster_ip(f"{pod}-east"), True)
            assert west.addresses(f"{pod}-east") == UP
        found = west.service("db-0-east")
        assert found["mirror.linkerd.io/headless-mirror-svc-name"] == "db-east"
        assert found["mirror.linkerd.io/remote-svc-fq-name"] == "db-0.db.default.svc.cluster.local"

        await east.run_pods("db", db_0=True, db_1=False, db_2=True)
        await west.until(lambda: west.hosts("db-east").keys() == {"db-0", "db-1", "db-2"})
        await west.until(lambda: not west.hosts("db-east")["db-1"][1] and west.addresses("db-1-east") == [])
        gateway.status = 503
        await west.until(lambda: west.addresses("db-0-east") == DOWN)
        assert west.hosts("db-east")["db-0"][1]

        await east.run_pods("db", db_0=True)
        await west.until(lambda: {"db-1-east", "db-2-east"}.isdisjoint(west.names()))
        await west.until(lambda: west.hosts("db-east").keys() == {"db-0"})
        await east.run_pods("db")
        await west.until(lambda: "db-0-east" not in west.names())
        assert west.cluster_ip("db-east") == "None"
        await east.label("db", exported=None)
        await west.until(lambda: "db-east" not in west.names())


async def test_headless_mirrors_of_one_namespace_leave_those_of_another_alone(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    for cluster in (east, west):
        await cluster.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    for namespace in ("default", "shop"):
        await east.serve("db", namespace, headless=True, labels={names.EXPORTED: "true"})
        await east.run_pods("db", namespace, db_0=True, db_1=True)
    async with west.controller(gateway.url):
        await west.link(east)
        for namespace in ("default", "shop"):
            await west.until(lambda namespace=namespace: len(west.hosts("db-east", namespace)) == 2)
        await east.run_pods("db", db_0=True)
        await west.until(lambda: west.get("Service", "db-1-east") is None)
        await east.label("db", exported=None)
        await west.until(lambda: west.get("Service", "db-0-east") is None)
        assert west.hosts("db-east", "shop").keys() == {"db-0", "db-1"}
        assert west.addresses("db-1-east", "shop") == UP


async def test_a_headless_service_becomes_a_plain_mirror_where_no_pod_has_a_name(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.serve("db", headless=True, labels={names.EXPORTED: "true"})
    await east.scale("db", ready=True)
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.addresses("db-east") == UP)
        assert west.cluster_ip("db-east") != "None"
        await east.run_pods("db", db_0=True)
        await west.until(lambda: west.cluster_ip("db-east") == "None" and west.hosts("db-east").keys() == {"db-0"})
    async with west.controller(gateway.url, Settings(headless=False)):
        await west.until(lambda: west.cluster_ip("db-east").startswith("10.") and west.addresses("db-east") == UP)
        await west.until(lambda: "db-0-east" not in west.names())


# --- namespaces, versions, names ----------------------------------------------------------------------------------
async def test_namespaces_are_made_where_that_was_allowed_and_stay(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await east.client.create(NAMESPACES, {"metadata": {"name": "bank"}})
    await east.export("cart", "shop")
    await east.serve("till", "bank", labels=MEMBER)
    allowed = Settings(create_namespaces=True)
    async with west.controller(gateway.url, allowed):
        await west.link(east)
        await west.until(lambda: west.outcome("cart") == "Error")
        assert 'cannot create resource "namespaces"' in west.message("Synced")
        await west.allow_namespace_creation()
        await west.until(lambda: west.addresses("cart-east", "shop") == UP)
        await west.until(lambda: west.members("till-federated", "bank") == ("", "till@east"))
        made = await west.client.get(NAMESPACES, "shop")
        assert (
            made["metadata"]["labels"].items()
            >= {
                "mirror.linkerd.io/mirrored-service": "true",
                "mirror.linkerd.io/cluster-name": "east",
            }.items()
        )
        await west.unlink()
        await west.until(lambda: not west.all("Link"))
        assert west.get("Service", "cart-east", "shop") is None
        assert (await west.client.get(NAMESPACES, "shop"))["status"]["phase"] == "Active"


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
async def test_a_link_of_an_older_version_is_followed_and_federates_only_what_it_selects(
    east: Cluster, west: Cluster, gateway: Gateway, version: str
) -> None:
    await east.export()
    await east.serve("web", labels=MEMBER)
    await west.give_credentials("east", east.kubeconfig(east.remote_access))
    item = link_object("east") | {"apiVersion": f"multicluster.linkerd.io/{version}"}
    del item["metadata"]["creationTimestamp"], item["spec"]["remoteDiscoverySelector"]
    if version == "v1alpha1":
        del item["spec"]["federatedServiceSelector"]
    async with west.controller(gateway.url):
        await west.create(item)
        await west.until(lambda: west.addresses("backend-east") == UP)
        await west.until(lambda: west.condition("Synced") == "True Synced")
        assert ("web-federated" in west.names()) is (version == "v1alpha2")


async def test_labels_of_the_other_cluster_cannot_lead_clients_elsewhere(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    forged = {names.REMOTE_DISCOVERY: "north", names.REMOTE_SERVICE_LABEL: "secrets", names.CLUSTER_NAME_LABEL: "north"}
    discovery = {names.LOCAL_DISCOVERY_ANNOTATION: "secrets", names.REMOTE_DISCOVERY: "secrets@north"}
    await east.serve("web", labels={**forged, **MEMBER, names.EXPORTED: "true"}, annotations=discovery)
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.outcome("web") == "Mirrored")
        await west.until(lambda: west.members("web-federated") == ("", "web@east"))
        found = west.service("web-east")
        assert found[names.CLUSTER_NAME_LABEL] == "east"
        assert {names.REMOTE_DISCOVERY, names.REMOTE_SERVICE_LABEL, names.LOCAL_DISCOVERY_ANNOTATION}.isdisjoint(found)


# --- the life of a Link with all of it ----------------------------------------------------------------------------
async def everything(cluster: Cluster) -> None:
    """One service in each mode."""
    await cluster.export()
    await cluster.serve("flat", labels=FLAT)
    await cluster.serve("web", labels=MEMBER)
    await cluster.serve("db", headless=True, labels={names.EXPORTED: "true"})
    await cluster.run_pods("db", db_0=True)


MADE = {"backend-east", "flat-east", "web-federated", "db-east", "db-0-east", "probe-east"}


async def test_deleting_a_link_removes_what_it_made_in_every_mode(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await everything(east)
    before = set(west.names())
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: set(west.names()) - before == MADE)
        await west.unlink()
        await west.until(lambda: west.get("Link", "linkerd-east", NAMESPACE) is None)
        left = {item["metadata"]["name"] for item in await west.client.list(SERVICES)}
        assert left == before
        assert not [item for item in await west.client.list(SLICES) if "kubernetes" not in item["metadata"]["name"]]


async def test_what_was_deleted_while_the_controller_was_away_is_removed_when_it_is_back(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await everything(east)
    before = set(west.names())
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: set(west.names()) - before == MADE)
    for name in ("backend", "flat", "web", "db"):
        await east.client.delete(SERVICES, name, "default")
    async with west.controller(gateway.url):
        await west.until(lambda: set(west.names()) - before == {"probe-east"})


async def test_a_changed_gateway_is_followed_in_everything_that_leads_to_it(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await everything(east)
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.addresses("db-0-east") == UP)
        moved = {"gatewayAddress": "203.0.113.77", "gatewayPort": "30443", "gatewayIdentity": "somebody.else"}
        probe = {"probeSpec": {"port": "4999"}}
        await west.client.patch(LINKS, "linkerd-east", {"spec": moved | probe}, NAMESPACE)
        for mirror, namespace in (("backend-east", "default"), ("db-0-east", "default"), ("probe-east", NAMESPACE)):
            await west.until(lambda m=mirror, n=namespace: west.addresses(m, n) == [("203.0.113.77", True)])
            found = west.get("EndpointSlice", mirror, namespace) or {}
            assert [port["port"] for port in found["ports"]] == [30443]
            annotations = found["metadata"]["annotations"]
            assert annotations["mirror.linkerd.io/remote-gateway-identity"] == "somebody.else"
        await west.until(
            lambda: (west.get("Service", "probe-east", NAMESPACE) or {})["spec"]["ports"][0]["port"] == 4999
        )


async def test_mirrors_end_as_the_gateway_does_however_often_it_comes_and_goes(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await everything(east)
    async with west.controller(gateway.url):
        await west.link(east)
        for status, wanted in ((503, DOWN), (200, UP)) * 4:
            gateway.status = status
            await west.until(lambda w=wanted: west.addresses("backend-east") == w and west.addresses("db-0-east") == w)


async def test_what_somebody_deletes_or_bends_by_hand_comes_back(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await everything(east)
    before = set(west.names())
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.hosts("db-east"))
        await west.until(lambda: set(west.names()) - before == MADE)
        for name in ("web-federated", "flat-east", "db-0-east", "db-east"):
            await west.client.delete(SERVICES, name, "default")
            await west.until(lambda name=name: name in west.names())
        await west.until(lambda: west.hosts("db-east") == {"db-0": (west.cluster_ip("db-0-east"), True)})
        bent = {
            "metadata": {"annotations": {names.LOCAL_DISCOVERY_ANNOTATION: "secrets"}},
            "spec": {"selector": {"a": "b"}},
        }
        await west.client.patch(SERVICES, "web-federated", bent, "default")
        await west.until(lambda: west.members("web-federated") == ("", "web@east"))
        assert not (west.get("Service", "web-federated") or {})["spec"].get("selector")


async def test_endpoints_of_flat_and_federated_services_are_not_followed(east: Cluster, west: Cluster) -> None:
    """Even a cluster that may not be read there can be linked for these."""
    readable = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}
    await east.client.patch(CLUSTER_ROLES, names.REMOTE_ACCESS_ACCOUNT, {"rules": [readable]})
    await east.serve("flat", labels=FLAT)
    await east.serve("web", labels=MEMBER)
    async with west.controller():
        await west.link(east)
        await west.until(lambda: {"flat-east", "web-federated"} <= set(west.names()))
        await west.until(lambda: west.condition("Reachable") == "True Connected")
        await east.export()
        await west.until(lambda: west.condition("Reachable") == "False Forbidden")
