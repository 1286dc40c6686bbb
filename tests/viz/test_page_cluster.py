"""What one cluster shows of itself."""

import msgspec
import pytest
from tests.viz.views import END, SHOWN, cluster, identity, line

from isthmus.kube.meta import Meta
from isthmus.resources.core import PodStatus, Service, ServicePortSpec, ServiceSpec
from isthmus.viz import opaque
from isthmus.viz.proxied import ProxiedPod, settings
from isthmus.viz.web_cluster import Objects, paint
from isthmus.viz.web_detail import detail
from isthmus.viz.web_links import LinkObject
from isthmus.viz.web_picture import DetailQuestion
from isthmus.viz.web_sources import Seen
from isthmus.viz.web_world import UNNAMED, compose

DOMAIN = "west.example"


def pods(view, **annotations):
    metadata = Meta(annotations={name.replace("_", "-"): text for name, text in annotations.items()})
    return [(ProxiedPod(metadata=metadata, status=PodStatus()), target) for target in view.pods]


def painted(**objects):
    view = cluster()
    return paint(view, Objects(pods=pods(view), trust_domain=DOMAIN, **objects), version="1", at=END)


def test_every_call_has_its_service_its_ends_its_identities_and_its_numbers():
    shown = painted()
    across = next(each for each in shown.calls if each.target.cluster == "east" and "backend-east" in each.service)
    assert (across.source.name, across.target.name, across.service) == (
        "frontend",
        "backend",
        "default/backend-east:8080",
    )
    assert across.client_id == identity("frontend", "default")
    assert across.server_id == identity("backend", "default", "east.example")
    assert across.numbers.rps is not None
    assert across.numbers.latency_ms_p99 is not None
    standby = [each for each in shown.calls if each.service == "default/backend:8080" and each.target.cluster]
    assert [each.answered for each in standby] == ["default/backend-east"]


def test_clients_of_other_clusters_are_told_by_what_they_proved():
    (client,) = [each for each in painted().calls if each.source.cluster]
    assert (client.source.cluster, client.source.namespace, client.source.name) == ("east", "market", "shop")


def test_a_workload_nobody_asks_has_no_numbers_rather_than_zeros():
    found = {each.name: each for each in painted().workloads}
    assert found["quiet"].numbers.empty
    assert found["backend"].numbers.success == pytest.approx(102 / 132)
    assert (found["legacy"].pods, found["legacy"].meshed) == (1, 0)


def test_before_a_second_look_at_the_proxies_numbers_are_not_known_rather_than_zeros():
    early = paint(cluster(began=END), Objects(trust_domain=DOMAIN), version="1", at=END)
    assert early.window == 0
    assert [each for each in early.workloads if each.numbers.rps is not None] == []
    assert compose([Seen(state="live", picture=early)]).regions[UNNAMED]["counting"]
    assert not compose([Seen(state="live", picture=painted())]).regions[UNNAMED]["counting"]


def test_tunnels_of_a_gateway_are_counted_by_cluster():
    open_tunnels = line("gateway_tunnels", 3, src_cluster="east", client_id="a") + line(
        "gateway_tunnels", 2, src_cluster="east", client_id="b"
    )
    view = cluster(SHOWN | {("gateway-1", "gateway"): open_tunnels})
    (tunnel,) = paint(view, Objects(), version="1", at=END).tunnels
    assert (tunnel.gateway, tunnel.cluster, tunnel.open) == ("gateway", "east", 5)


def test_a_service_says_whether_it_is_exported_and_a_mirror_what_it_mirrors():
    exported = Service(metadata=Meta(name="a", namespace="x", labels={"mirror.linkerd.io/exported": "true"}))
    mirror = Service(
        metadata=Meta(
            name="b-east",
            namespace="x",
            labels={"mirror.linkerd.io/mirrored-service": "true", "mirror.linkerd.io/cluster-name": "east"},
            annotations={
                "mirror.linkerd.io/remote-svc-fq-name": "b.x.svc.cluster.local",
                "mirror.linkerd.io/remote-resource-version": "9",
            },
        )
    )
    a, b = painted(services=[mirror, exported]).services
    assert (a.exported, b.exported) == ("gateway", "")
    assert (b.cluster, b.mirrors, b.follows) == ("east", "x/b", "9")


def link(written):
    return msgspec.convert(written, LinkObject)


def test_a_link_without_status_and_one_with_nonsense_in_it_are_shown_all_the_same():
    odd = link({"metadata": {"name": "odd"}, "status": {"latency": "soon", "trustBundle": "none"}})
    new = link({"metadata": {"name": "new"}, "spec": {"targetClusterName": "east", "gatewayAddress": "192.0.2.1"}})
    east, other = painted(links=[odd, new]).links
    assert (east.cluster, east.gateway, east.conditions) == ("east", "192.0.2.1:4143", ())
    assert (other.cluster, other.latency_ms, other.roots_expire) == ("odd", None, "")


def asked(view, name, *, points=False, **annotations):
    question = DetailQuestion(namespace="default", kind="deployment", name=name, points=points)
    return detail(view, question, pods=pods(view, **annotations), problems={}, domain=DOMAIN)


def test_the_last_minutes_of_a_workload_add_up_to_what_it_was_asked():
    points = asked(cluster(), "backend", points=True).points
    assert sum((each.numbers.rps or 0) * 10 for each in points) == pytest.approx(132, rel=0.02)
    asking = asked(cluster(), "frontend", points=True).points
    assert sum((each.numbers.rps or 0) * 10 for each in asking) == pytest.approx(156, rel=0.02)


def test_a_proxys_certificate_and_configuration_are_told_in_words():
    view = cluster(SHOWN | {("a-1", "a"): line("identity_cert_expiration_timestamp_seconds", 5000.0)})
    found = asked(view, "a", **{"config.linkerd.io/opaque-ports": "25,3306", "unrelated": "x"})
    assert found.identity == identity("a", "default")
    assert found.proxies[0].certificate_expires == 5000.0
    assert found.proxies[0].settings == ("On ports 25, 3306 it carries bytes and reads no requests.",)
    odd = ProxiedPod(metadata=Meta(annotations={"config.linkerd.io/odd": "a,b"}))
    assert list(settings(odd))[1:] == ["odd: a,b"]


INJECTED = """{"metadata": {"annotations": {"config.linkerd.io/proxy-log-level": "debug"}}, "spec": {"initContainers": [
    {"name": "linkerd-init", "args": ["--inbound-ports-to-ignore=4567, 4568", "--outbound-ports-to-ignore="]},
    {"name": "linkerd-proxy", "image": "localhost/isthmus/proxy:1", "resources": {"requests": {"memory": "20Mi"}},
     "env": [{"name": "ISTHMUS_POD_IP", "valueFrom": {}}, {"name": "ISTHMUS_LOG_LEVEL", "value": "debug"}]}]}}"""


def test_what_the_injector_wrote_into_a_pod_is_told_wherever_it_was_wished_for():
    assert list(settings(msgspec.json.decode(INJECTED, type=ProxiedPod))) == [
        "Runs localhost/isthmus/proxy:1.",
        "Is promised 20Mi of memory, and may take what the node has.",
        "Logs from level debug on.",
        "Ports 4567, 4568 are reached past the proxy.",
        "On ports 25, 587, 3306, 4444, 5432, 6379, 9300, 11211 it carries bytes and reads no requests: the default.",
    ]


OPAQUE = "config.linkerd.io/opaque-ports"


def a_service(name, *ports, opaque=None, selects="db"):
    annotations = {} if opaque is None else {OPAQUE: opaque}
    spec = ServiceSpec(ports=tuple(ServicePortSpec(port=port) for port in ports), selector={"app": selects})
    return Service(metadata=Meta(name=name, namespace="default", annotations=annotations), spec=spec)


def test_opaque_ports_are_told_of_the_pod_of_its_services_and_of_their_namespace():
    def said(*services, own=None, namespace=None):
        metadata = Meta(labels={"app": "db"}, annotations={} if own is None else {OPAQUE: own})
        return list(
            opaque.told(ProxiedPod(metadata=metadata), services, {} if namespace is None else {OPAQUE: namespace})
        )

    assert said(a_service("web", 80), a_service("other", 3306, selects="x"), own="5000-5002,25") == [
        "On ports 25, 5000-5002 it carries bytes and reads no requests."
    ]
    assert said(own="") == ["Looks for requests on every port."]
    both = a_service("db", 80, 3306, opaque="3306"), a_service("admin", 3306)
    assert said(*both, own="3306") == [
        "On port 3306 it carries bytes and reads no requests.",
        "What is sent to port 3306 of Service admin is not read as requests: the default.",
        "What is sent to port 3306 of Service db is not read as requests: it says so.",
    ]
    assert said(a_service("db", 80, 3306), namespace="80")[1:] == [
        "The namespace says port 80 by now: that counts for pods that are made anew.",
        "What is sent to port 80 of Service db is not read as requests: its namespace says so.",
    ]
    assert said(a_service("db", 3306, opaque="many"), namespace="")[1:] == [
        "The namespace says no ports by now: that counts for pods that are made anew."
    ]


def test_a_workload_that_is_gone_is_refused_in_words():
    with pytest.raises(ValueError, match="no deployment nobody in namespace default any more"):
        asked(cluster(), "nobody")


def test_a_certificate_that_is_not_known_is_not_zero():
    view = cluster({("a-1", "a"): ""})
    assert asked(view, "a").proxies[0].certificate_expires is None
