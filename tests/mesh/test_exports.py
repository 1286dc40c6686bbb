"""A gateway reaches ready endpoints of exported services, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st
from tests.mesh import objects as make

from isthmus import names
from isthmus.mesh import exports
from isthmus.mesh.model import Address, ExportCluster

Spec = tuple[str | None, bool, int]


@given(st.lists(st.tuples(st.sampled_from([None, "label", "annotation", "false"]), st.booleans(), st.integers(1, 5)),
                max_size=6))  # fmt: skip
def test_resolvable_exactly_when_a_ready_endpoint_of_an_exported_service(services: list[Spec]) -> None:
    state = make.state()
    wanted: set[str] = set()
    for number, (export, ready, host) in enumerate(services):
        metadata = {
            None: {},
            "label": {"labels": {names.EXPORTED: "true"}},
            "annotation": {"annotations": {names.EXPORTED: "true"}},
            "false": {"labels": {names.EXPORTED: "false"}},
        }[export]
        make.put(state, make.service(f"s{number}", f"10.96.0.{number}", 80, **metadata))
        make.put(state, make.endpoint_slice(f"s{number}", make.endpoint(f"10.244.0.{host}", ready=ready)))
        if export in ("label", "annotation") and ready:
            wanted.add(f"10.244.0.{host}")
    for host in (f"10.244.0.{each}" for each in range(1, 6)):
        name = f"export/{host}:8080"
        expected = ExportCluster(name, Address(host, 8080)) if host in wanted else None
        assert exports.resolve(state, name) == expected
        assert exports.resolve(state, f"export/{host}:8081") is None


def test_mirrors_are_not_exported_on() -> None:
    state = make.state()
    metadata = make.mirror_metadata("east", "web.shop.svc.cluster.local")
    metadata["annotations"][names.EXPORTED] = "true"
    make.put(state, make.service("web-east", "10.96.0.9", 80, **metadata))
    make.put(state, make.endpoint_slice("web-east", make.endpoint("172.30.11.1"), port=4143))
    assert exports.resolve(state, "export/172.30.11.1:4143") is None
