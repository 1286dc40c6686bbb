"""Objects as the API server sends them, also where it sends less or null."""

import msgspec
import pytest

from isthmus import names
from isthmus.resources.core import Pod, Secret, Service
from isthmus.resources.discovery import EndpointSlice
from isthmus.resources.exports import Federation, Mirrored, exported, federation, mirrored
from isthmus.resources.multicluster import Link


@pytest.mark.parametrize("view", [Pod, Service, EndpointSlice, Link, Secret])
def test_an_almost_empty_object_is_read(view: type) -> None:
    assert msgspec.json.decode(b'{"metadata": {"name": "a"}, "unknown": {"x": 1}}', type=view).metadata.name == "a"


def test_an_endpoint_slice_without_endpoints_has_nulls() -> None:
    text = b'{"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": null, "ports": null}'
    found = msgspec.json.decode(text, type=EndpointSlice)
    assert (found.endpoints, found.port_numbers("")) == (None, ())


def test_a_headless_service_has_no_address() -> None:
    spec = {"clusterIP": "None", "clusterIPs": ["None"]}
    assert msgspec.convert({"spec": spec}, Service).addresses == ()


def test_every_address_that_leads_to_a_service() -> None:
    item = {
        "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "externalIPs": ["1.1.1.1"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "x"}]}},
    }
    assert msgspec.convert(item, Service).addresses == ("10.0.0.1", "fd00::1", "1.1.1.1", "2.2.2.2")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"labels": {names.EXPORTED: "true"}}, True),
        ({"annotations": {names.EXPORTED: "true"}}, True),
        ({"labels": {names.EXPORTED: "false"}}, False),
        ({}, False),
    ],
)
def test_a_service_is_exported_by_label_or_annotation(metadata: object, expected: bool) -> None:
    assert exported(msgspec.convert({"metadata": metadata}, Service)) is expected


def test_a_mirror_says_what_it_mirrors() -> None:
    metadata = {
        "labels": {names.MIRRORED_SERVICE_LABEL: "true", names.CLUSTER_NAME_LABEL: "east"},
        "annotations": {names.REMOTE_SERVICE_FQN_ANNOTATION: "web.shop.svc.cluster.local"},
    }
    assert mirrored(msgspec.convert({"metadata": metadata}, Service)) == Mirrored("east", "shop", "web")
    assert mirrored(Service()) is None


def test_a_secret_that_is_not_base64_is_named() -> None:
    broken = msgspec.convert({"metadata": {"name": "a", "namespace": "b"}, "data": {"k": "%%"}}, Secret)
    with pytest.raises(ValueError, match="the key k of Secret b/a"):
        broken.value("k")
    assert broken.value("other") is None


def test_the_mirror_of_a_pod_and_a_flat_mirror_say_so() -> None:
    labels = {names.MIRRORED_SERVICE_LABEL: "true", names.CLUSTER_NAME_LABEL: "east"}
    fqn = {names.REMOTE_SERVICE_FQN_ANNOTATION: "db-0.db.shop.svc.cluster.local"}
    of_pod = {"labels": {**labels, names.HEADLESS_MIRROR_LABEL: "db-east"}, "annotations": fqn}
    assert mirrored(msgspec.convert({"metadata": of_pod}, Service)) == Mirrored("east", "shop", "db", "db-0")
    fqn = {names.REMOTE_SERVICE_FQN_ANNOTATION: "web.shop.svc.cluster.local"}
    flat = {"labels": {**labels, names.REMOTE_DISCOVERY: "east"}, "annotations": fqn}
    assert mirrored(msgspec.convert({"metadata": flat}, Service)) == Mirrored("east", "shop", "web", flat=True)


def test_a_federated_service_names_its_members_in_order() -> None:
    labels = {names.MIRRORED_SERVICE_LABEL: "true"}
    annotations = {names.REMOTE_DISCOVERY: "web@north,web@east, @x,y@", names.LOCAL_DISCOVERY_ANNOTATION: "web"}
    made = msgspec.convert({"metadata": {"labels": labels, "annotations": annotations}}, Service)
    assert federation(made) == Federation("web", (("web", "north"), ("web", "east")))
    mirror = {"labels": {**labels, names.CLUSTER_NAME_LABEL: "east"}, "annotations": annotations}
    assert federation(msgspec.convert({"metadata": mirror}, Service)) is None
    assert federation(Service()) is None
