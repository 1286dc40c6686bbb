"""EndpointSlices say who answers for a service, as Kubernetes would."""

from isthmus.lab.controllers.slices import CAPACITY, same, selects, slices_of


def service(**spec):
    return {
        "metadata": {"name": "web", "namespace": "shop", "uid": "s1", "labels": {"team": "blue"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec},
    }


def pod(name="web-1", *, ip="10.244.0.5", ready=True, phase="Running", deleting=False, **spec):
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "web"}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node", "containers": [{"ports": [{"name": "web", "containerPort": 9090}]}], **spec},
        "status": {
            "podIP": ip,
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def only(slices):
    (found,) = slices.values()
    return found


def test_a_ready_pod_is_a_ready_endpoint():
    found = only(slices_of(service(), [pod()]))
    assert found["metadata"]["labels"] == {
        "team": "blue",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert found["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert found["endpoints"] == [
        {
            "addresses": ["10.244.0.5"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "uid-web-1"},
            "nodeName": "node",
        }
    ]
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Service"


def conditions(**how):
    spec = how.pop("spec", {})
    return only(slices_of(service(**spec), [pod(**how)]))["endpoints"][0]["conditions"]


def test_a_pod_that_is_not_ready_gets_no_traffic():
    assert conditions(ready=False) == {"ready": False, "serving": False, "terminating": False}


def test_an_ending_pod_serves_but_is_not_ready():
    assert conditions(deleting=True) == {"ready": False, "serving": True, "terminating": True}


def test_a_service_may_publish_pods_that_are_not_ready():
    assert conditions(ready=False, spec={"publishNotReadyAddresses": True})["ready"] is True


def test_pods_without_address_or_finished_are_left_out():
    assert only(slices_of(service(), [pod(ip=""), pod("done", phase="Succeeded")]))["endpoints"] == []


def test_a_named_target_port_is_what_the_pod_calls_so():
    found = only(slices_of(service(ports=[{"port": 80, "targetPort": "web"}]), [pod()]))
    assert found["ports"] == [{"name": "", "protocol": "TCP", "port": 9090}]


def test_pods_that_number_a_port_differently_are_in_different_slices():
    other = pod("web-2", ip="10.244.0.6", containers=[{"ports": [{"name": "web", "containerPort": 7070}]}])
    found = slices_of(service(ports=[{"port": 80, "targetPort": "web"}]), [pod(), other])
    assert sorted(item["ports"][0]["port"] for item in found.values()) == [7070, 9090]


def test_a_pod_of_the_headless_service_keeps_its_host_name():
    found = only(slices_of(service(clusterIP="None"), [pod(hostname="web-0", subdomain="web")]))
    assert found["endpoints"][0]["hostname"] == "web-0"
    assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_many_pods_are_spread_over_slices_with_lasting_names():
    many = [pod(f"web-{n:03}", ip=f"10.244.1.{n}") for n in range(CAPACITY + 1)]
    found = slices_of(service(), many)
    assert sorted(len(item["endpoints"]) for item in found.values()) == [1, CAPACITY]
    assert found.keys() == slices_of(service(), reversed(many)).keys()


def test_a_slice_the_server_has_filled_in_is_recognized():
    wanted = only(slices_of(service(), [pod()]))
    stored = {**wanted, "metadata": {**wanted["metadata"], "uid": "u", "resourceVersion": "5"}}
    assert same(stored, wanted)
    assert not same({**stored, "endpoints": []}, wanted)


def test_a_service_without_selector_selects_nothing():
    assert not selects(service(selector={}), pod())
    assert selects(service(), pod())
