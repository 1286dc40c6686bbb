"""What a pod is to the mesh."""

import msgspec
from tests.mesh import objects as make

from isthmus.mesh.workloads import Workload, workload
from isthmus.resources.core import Pod


def probed(*containers: dict[str, object]) -> Workload:
    made = make.pod_json("web-0", "10.244.0.7")
    spec = made["spec"] | {"containers": list(containers)}
    return workload(msgspec.convert(made | {"spec": spec}, Pod))


def test_the_paths_that_kubelet_asks_for_are_known() -> None:
    web = {
        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 3},
        "readinessProbe": {"httpGet": {"path": "ready?deep=1", "port": 8080}},
        "startupProbe": {"tcpSocket": {"port": 8080}},
    }
    other = {
        "livenessProbe": {"grpc": {"port": 9000, "service": None}},
        "readinessProbe": {"exec": {"command": ["true"]}},
    }
    assert probed(web, other).probe_paths == ("/grpc.health.v1.Health/Check", "/live", "/ready?deep=1")
    assert probed(other, web) == probed(web, other)


def test_what_kubelet_asks_the_proxy_is_no_path_of_the_application() -> None:
    made = make.pod_json("web-0", "10.244.0.7")
    made["spec"]["initContainers"][0]["readinessProbe"] = {"httpGet": {"path": "/ready", "port": 4191}}
    assert workload(msgspec.convert(made, Pod)).probe_paths == ()
