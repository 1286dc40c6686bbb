"""What `check` says about the collector of spans."""

from types import SimpleNamespace
from typing import Any

import pytest

from isthmus.cli.health import Problem
from isthmus.cli.tracing_checks import require_collector, service_of, tracing
from isthmus.kube import errors
from isthmus.resources.discovery import Conditions, EndpointSlice, SliceEndpoint


class Cluster:
    """A control plane that was installed with a collector, and the one Service of the cluster."""

    def __init__(self, collector: str, *, ready: bool = True) -> None:
        self.client = self
        self._collector = collector
        self._ready = ready

    def values(self) -> dict[str, Any]:
        return {"clusterDomain": "east.local", "tracing": {"collector": self._collector}}

    def get(self, kind: Any, name: str, namespace: str) -> Any:
        if (namespace, name) != ("observability", "otel"):
            raise errors.NotFound("not found", code=404)
        return {"spec": {"ports": [{"port": 4317}, {"port": 4318}]}}

    def list(self, kind: Any, namespace: str, *, labels: str) -> Any:
        assert (namespace, labels) == ("observability", "kubernetes.io/service-name=otel")
        return [EndpointSlice(endpoints=(SliceEndpoint(conditions=Conditions(ready=self._ready)),))]


@pytest.mark.parametrize("host", ["otel.observability", "otel.observability.svc", "otel.observability.svc.east.local"])
def test_a_collector_that_is_there_is_right_however_it_is_written(host: str) -> None:
    require_collector(Cluster(f"{host}:4317"))  # type: ignore[arg-type]


def test_one_outside_of_the_cluster_is_taken_as_it_is() -> None:
    assert service_of("otel.example.com", "east.local") is None
    assert service_of("203.0.113.5", "east.local") is None
    require_collector(Cluster("203.0.113.5:4317"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("collector", "ready", "sentence"),
    [
        ("otel:4317", True, "each pod's own namespace, .* install with otel.<namespace>:4317"),
        ("otel.monitoring:4317", True, "Service otel in namespace monitoring, which is not there"),
        ("otel.observability:4319", True, "Service observability/otel has no port 4319 but 4317, 4318"),
        ("otel.observability:4317", False, "Service observability/otel has no pod that is ready"),
    ],
)
def test_what_is_wrong_with_a_collector_is_said(collector: str, ready: bool, sentence: str) -> None:
    with pytest.raises(Problem, match=sentence):
        require_collector(Cluster(collector, ready=ready))  # type: ignore[arg-type]


def test_nothing_is_said_where_no_collector_is_named() -> None:
    assert list(tracing(SimpleNamespace(values=dict))) == []  # type: ignore[arg-type]
    assert [each.name for each in tracing(Cluster("otel:4317"))] == ["linkerd-tracing"]  # type: ignore[arg-type]
