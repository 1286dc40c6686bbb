"""The node's service rules: who is forwarded where, and who is refused."""

import shutil
import subprocess

import pytest

from isthmus.lab.node.rules import Backend, Forward, forwards, render

NODE_IP = "172.30.0.11"


def service(name="web", *, ports=None, status=None, **spec):
    ports = ports or [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"clusterIP": "10.96.1.1", "ports": ports, **spec},
        "status": status or {},
    }


def endpoint_slice(*endpoints, name="web", ports=None):
    return {
        "metadata": {"namespace": "shop", "name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": ports or [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": conditions} for ip, conditions in endpoints],
    }


READY = {"ready": True, "serving": True, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
NOT_READY = {"ready": False, "serving": False, "terminating": False}


def of_service(found, name="shop/web"):
    return [forward for forward in found if forward.service == name]


def backends(*endpoints):
    (found,) = of_service(forwards([service()], [endpoint_slice(*endpoints)], NODE_IP))
    return found.backends


def test_only_ready_endpoints_are_used():
    assert backends(("10.244.0.2", READY), ("10.244.0.3", NOT_READY), ("10.244.0.4", ENDING)) == (
        Backend("10.244.0.2", 8080),
    )


def test_when_all_are_ending_those_that_still_serve_are_used():
    assert backends(("10.244.0.3", NOT_READY), ("10.244.0.4", ENDING)) == (Backend("10.244.0.4", 8080),)


def test_a_service_is_reached_by_all_its_addresses():
    status = {"loadBalancer": {"ingress": [{"ip": "172.30.10.1"}]}}
    ports = [{"name": "http", "port": 80, "nodePort": 30080}]
    (found,) = of_service(forwards([service(ports=ports, status=status, type="LoadBalancer")], [], NODE_IP))
    assert (found.address, found.outer, found.node_port) == ("10.96.1.1", ("172.30.10.1",), 30080)


def test_who_asks_for_local_traffic_has_outsiders_answered_by_this_nodes_pods_only():
    ports = [{"name": "http", "port": 80, "nodePort": 30080}]
    local = service(ports=ports, externalIPs=["192.0.2.1"], externalTrafficPolicy="Local")
    item = endpoint_slice(("10.244.0.2", READY), ("10.244.1.2", READY))
    for endpoint, node in zip(item["endpoints"], ("one", "two"), strict=True):
        endpoint["nodeName"] = node
    (found,) = of_service(forwards([local], [item], NODE_IP, "two"))
    assert [backend.address for backend in found.backends] == ["10.244.0.2", "10.244.1.2"]
    assert found.here == (Backend("10.244.1.2", 8080),)
    (elsewhere,) = of_service(forwards([local], [item], NODE_IP, "three"))
    text = render([elsewhere], "10.244.0.0/16")
    assert f"tcp . 30080 : goto {elsewhere.outer_chain}" in text
    assert f"10.96.1.1 . tcp . 80 : goto {elsewhere.chain}" in text
    assert "  drop" in text


def test_headless_and_external_services_have_no_rules():
    found = forwards([service(clusterIP="None"), service("ext", type="ExternalName")], [], NODE_IP)
    assert [forward.service for forward in found] == ["default/kubernetes"]


def test_the_api_server_is_reachable_before_its_service_exists():
    (found,) = forwards([], [], NODE_IP)
    assert found == Forward("default/kubernetes", "tcp", 443, "10.96.0.1", (), 0, (Backend(NODE_IP, 6443),))


def test_slices_are_matched_by_port_name_and_protocol():
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    declared = [{"name": "dns", "port": 5353, "protocol": "UDP"}, {"name": "dns-tcp", "port": 5354, "protocol": "TCP"}]
    found = of_service(
        forwards([service(ports=ports)], [endpoint_slice(("10.244.0.2", READY), ports=declared)], NODE_IP)
    )
    assert {(forward.protocol, forward.backends[0].port) for forward in found} == {("udp", 5353), ("tcp", 5354)}


def test_a_service_without_endpoints_is_not_in_the_table():
    text = render(forwards([service()], [], NODE_IP), "10.244.0.0/16")
    assert "10.96.1.1" not in text
    assert "reject with tcp reset" in text


def test_the_same_objects_in_any_order_give_the_same_text():
    slices = [endpoint_slice(("10.244.0.2", READY)), endpoint_slice(("10.244.0.3", READY), name="b")]
    services = [service(), service("b", clusterIP="10.96.1.2")]
    one = render(forwards(services, slices, NODE_IP), "10.244.0.0/16")
    assert render(forwards(services[::-1], slices[::-1], NODE_IP), "10.244.0.0/16") == one


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
def test_the_kernel_accepts_the_table_again_and_again(tmp_path):
    names = [f"a-rather-long-service-name-{'x' * 30}-{n}" for n in range(50)]
    services = [
        service(name, clusterIP=f"10.96.2.{n}", ports=[{"name": "http", "port": 80, "nodePort": 30000 + n}])
        for n, name in enumerate(names)
    ]
    services[0]["spec"]["externalTrafficPolicy"] = "Local"
    slices = [
        endpoint_slice((f"10.244.1.{n}", READY), (f"10.244.2.{n}", READY), name=name) for n, name in enumerate(names)
    ]
    table = tmp_path / "table"
    table.write_text(render(forwards(services, slices, NODE_IP), "10.244.0.0/16"))
    script = f"nft -f {table} && nft -f {table} && nft list table ip kube"
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "10.244.2.49 . 8080" in done.stdout


def test_only_what_leaves_the_cluster_and_what_returns_to_its_sender_is_masqueraded():
    text = render(forwards([service()], [endpoint_slice(("10.244.0.2", READY))], NODE_IP), "10.244.0.0/16")
    assert 'oifname "eth0" ip saddr 10.244.0.0/16 masquerade' in text
    assert "10.244.0.2 . 10.244.0.2" in text


def test_pods_keep_their_addresses_on_the_way_to_pods_of_other_clusters_in_a_flat_network():
    text = render(forwards([service()], [], NODE_IP), "10.128.0.0/16", "10.128.0.0/10")
    assert 'oifname "eth0" ip saddr 10.128.0.0/16 ip daddr != 10.128.0.0/10 masquerade' in text
