"""Where a target's gateway is: names that change, Services that publish, addresses that are probed each."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from isthmus.multicluster import addresses, mirrors, prober, published, status
from isthmus.multicluster.addresses import Addresses, Found
from isthmus.multicluster.links import Link, Probe
from isthmus.multicluster.liveness import Liveness
from isthmus.multicluster.plans import Export, Gateway, GatewayAddress
from isthmus.multicluster.published import GatewayService
from isthmus.multicluster.reachability import Reachability
from isthmus.multicluster.whereabouts import Whereabouts
from isthmus.resources.gateways import Host

from .values import IDENTITY, link, service

ALIVE = Liveness("Alive")
A, B, C = Host("203.0.113.10", 4143), Host("203.0.113.11", 4143), Host("203.0.113.12", 4143)


class Records:
    """A DNS whose answers the test changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **records: tuple[str, ...]) -> None:
        self.records = records
        monkeypatch.setattr(addresses, "resolve", self._resolve)
        monkeypatch.setattr(addresses, "EVERY", 0.01)
        monkeypatch.setattr(addresses, "_RETRY", 0.01)

    async def _resolve(self, name: str) -> tuple[str, ...]:
        if name not in self.records:
            raise OSError(-2, "Name or service not known")
        return self.records[name]


async def until(told: "asyncio.Queue[Found]", *ips: str) -> Found:
    """The next that is told with these addresses."""
    async with asyncio.timeout(5):
        while True:
            found = await told.get()
            if tuple(host.host for host, _ in found.addresses) == ips:
                return found


async def test_a_name_is_followed_and_keeps_its_addresses_when_it_does_not_resolve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dns = Records(monkeypatch, gw=("203.0.113.1", "203.0.113.2"))
    told: asyncio.Queue[Found] = asyncio.Queue()
    following = Addresses(told.put_nowait)
    following.use((Host("gw", 443), Host("203.0.113.9", 4143)))
    task = asyncio.create_task(following.run())
    found = await until(told, "203.0.113.1", "203.0.113.2", "203.0.113.9")
    assert found.addresses[0] == (Host("203.0.113.1", 443), "gw")
    dns.records["gw"] = ("203.0.113.3",)
    assert not (await until(told, "203.0.113.3", "203.0.113.9")).problem
    del dns.records["gw"]
    assert "gw does not resolve" in (await until(told, "203.0.113.3", "203.0.113.9")).problem
    dns.records["gw"] = ("127.0.0.1",)
    while "not in another cluster" not in (await until(told, "203.0.113.3", "203.0.113.9")).problem:
        pass
    dns.records["gw"] = ("203.0.113.4",)
    await until(told, "203.0.113.4", "203.0.113.9")
    task.cancel()


async def test_what_a_name_resolved_to_survives_a_new_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    Records(monkeypatch)
    before = {"gateways": [{"address": "203.0.113.1:443", "name": "gw", "alive": "True"}]}
    where = await looked(link(gatewayAddress="gw:443"), before)
    assert where.addresses == (Host("203.0.113.1", 443),)
    assert "does not resolve" in where.problem


def gateway_service(*ingress: Mapping[str, str], kind: str = "LoadBalancer", port: int = 4143) -> GatewayService:
    item = {
        "metadata": {"name": "linkerd-gateway", "namespace": "linkerd-multicluster"},
        "spec": {"type": kind, "ports": [{"name": "mc-gateway", "port": port, "nodePort": 30443}]},
        "status": {"loadBalancer": {"ingress": list(ingress)} if ingress else {}},
    }
    return msgspec.convert(item, GatewayService)


def test_a_service_publishes_addresses_and_names_of_its_load_balancer() -> None:
    found = published.hosts(gateway_service({"ip": "203.0.113.10"}, {"hostname": "lb.example"}, {"ip": "fd00::1"}))
    assert found == (A, Host("lb.example", 4143), Host("fd00::1", 4143))
    assert published.hosts(gateway_service({"ip": "203.0.113.10"}, kind="NodePort")) == ()


def test_another_cluster_cannot_lead_clients_into_their_own_pods_and_nodes() -> None:
    hostile = gateway_service({"ip": "127.0.0.1"}, {"ip": "169.254.169.254"}, {"ip": "::1"}, {"hostname": "a,b"})
    assert [host.host for host in published.hosts(hostile)] == ["a", "b"]
    many = gateway_service(*({"ip": f"203.0.113.{number}"} for number in range(100)))
    assert len(published.hosts(many)) == published.MOST


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (None, "does not exist there"),
        (gateway_service(kind="NodePort"), "--gateway-address=<node-ip>:30443"),
        (gateway_service(), "has no address of a load balancer"),
        (gateway_service(kind="ClusterIP"), "type ClusterIP"),
        (gateway_service({"ip": "203.0.113.10"}), ""),
    ],
)
def test_why_a_service_says_no_address_is_told(item: GatewayService | None, words: str) -> None:
    told = published.problem(item, "linkerd-multicluster/linkerd-gateway")
    assert words in told
    assert bool(words) == bool(told)


@asynccontextmanager
async def running(where: Whereabouts) -> AsyncIterator[None]:
    task = asyncio.create_task(where.run())
    yield
    task.cancel()


async def looked(of: Link, before: Mapping[str, Any] | None = None) -> Whereabouts:
    """The whereabouts after the first look."""
    changed = asyncio.Event()
    where = Whereabouts(of, before or {}, url=lambda port: f"http://127.0.0.1:9/{port}", changed=changed.set)
    async with running(where), asyncio.timeout(5):
        await changed.wait()
    return where


async def test_a_link_with_a_service_follows_it_and_one_without_does_not() -> None:
    for followed, expected in (("linkerd-multicluster/linkerd-gateway", (B,)), ("", (A,))):
        changed = asyncio.Event()
        where = Whereabouts(link(gatewayService=followed), {}, url=str, changed=changed.set)
        async with running(where), asyncio.timeout(5):
            await changed.wait()
            where.publishes(gateway_service({"ip": B.host}))
            while where.addresses != expected:
                changed.clear()
                await changed.wait()
            assert where.text == str(expected[0])
            where.publishes(gateway_service())
            assert where.hosts == expected
            assert ("no address of a load balancer" in where.problem) is bool(followed)


async def test_until_the_service_is_heard_what_was_known_last_counts_beside_what_the_link_says() -> None:
    before = {"gatewayAddress": str(B), "gateways": [{"address": str(B), "alive": "True"}]}
    where = await looked(link(gatewayService="linkerd-multicluster/linkerd-gateway"), before)
    assert where.addresses == (A, B)
    assert (await looked(link(), before)).addresses == (A,)


# --- several addresses ----------------------------------------------------------------------------------------------


async def test_each_of_several_addresses_is_probed_by_a_port_of_its_own_that_it_keeps() -> None:
    answers = {4192: 200, 4193: 503, 4194: 200}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=answers[int(request.match_info["port"])])

    app = web.Application()
    app.router.add_get("/{port}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    changed = asyncio.Event()
    reach = Reachability(Probe(period=0.01, threshold=2), lambda port: f"{site.name}/{port}", changed.set)
    task = asyncio.create_task(reach.run())

    async def states(*expected: tuple[Host, int, str]) -> None:
        async with asyncio.timeout(5):
            while [(each.host, each.probe_port, each.state) for each in reach.state(ALIVE, 1.0)] != list(expected):
                changed.clear()
                await changed.wait()

    reach.use([(A, ""), (B, "gw")])
    await states((A, 4192, "Alive"), (B, 4193, "Down"))
    assert reach.state(ALIVE, None)[1].name == "gw"
    reach.use([(B, ""), (C, "")])
    await states((B, 4193, "Down"), (C, 4192, "Alive"))
    answers[4193] = 200
    await states((B, 4193, "Alive"), (C, 4192, "Alive"))
    reach.use([(C, "")])
    assert [(each.probe_port, each.state, each.latency_ms) for each in reach.state(ALIVE, 1.0)] == [(0, "Alive", 1.0)]
    task.cancel()
    await runner.cleanup()


def test_a_new_controller_goes_on_with_what_the_status_says() -> None:
    first = Reachability(Probe(), str, lambda: None)
    first.use([(A, ""), (B, "gw")])
    known = status.render(
        status.Knowledge(conditions=(), gateways=first.state(ALIVE, None), gateway_address="gw"), {}, now=""
    )
    assert known["gateways"][1] == {
        "address": str(B),
        "name": "gw",
        "alive": "Unknown",
        "latency": "",
        "probePort": 4193,
    }
    known["gateways"][1]["alive"] = "False"
    second = Reachability(Probe(), str, lambda: None, before=known["gateways"])
    second.use([(C, ""), (B, "gw")])
    assert [(each.host, each.probe_port, each.silent) for each in second.state(ALIVE, None)] == [
        (C, 4192, False),
        (B, 4193, True),
    ]


def test_probes_of_one_address_go_to_its_port_of_the_probe_service() -> None:
    assert prober.url(link(), 4192, "c.local") == "http://probe-east.linkerd-multicluster.svc.c.local:4192/ready"


def test_mirrors_show_each_address_with_its_port_and_whether_it_answers() -> None:
    where = (
        GatewayAddress("203.0.113.10", 4143, 4192),
        GatewayAddress("203.0.113.11", 30443, 4193, alive=False),
        GatewayAddress("2001:db8::1", 30443, 4194),
    )
    plan = mirrors.plan(
        link(),
        [Export(service(), True)],
        gateway=Gateway(where, IDENTITY),
        local={},
        namespaces={"default", "linkerd-multicluster"},
    )
    shown = {
        key[1]: (item.address_type, item.ports[0].port, [(each.addresses[0], each.conditions.ready) for each in found])
        for key, item in plan.slices.items()
        if key[0] == "default" and (found := item.endpoints or ()) and item.ports
    }
    assert shown == {
        "backend-east": ("IPv4", 4143, [("203.0.113.10", True)]),
        "backend-east-30443": ("IPv4", 30443, [("203.0.113.11", False)]),
        "backend-east-ipv6-30443": ("IPv6", 30443, [("2001:db8::1", True)]),
    }
    probe = plan.services["linkerd-multicluster", "probe-east"]
    assert [port.port for port in probe.spec.ports] == [4191, 4192, 4193, 4194]
