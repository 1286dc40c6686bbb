"""What `kubectl get` prints about pods, services and the rest."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from isthmus.lab.api import columns, tables
from isthmus.lab.api.contracts import ResourceInfo
from isthmus.lab.api.jsonpath import json_path
from isthmus.lab.api.reading import duration
from isthmus.lab.api.registry import BUILT_IN


def _cells(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    info = next(info for info in BUILT_IN if info.kind == kind)
    shown = columns.for_kind(info, [])
    row = tables.table(
        shown, [obj | {"metadata": {"name": "x"} | obj.get("metadata", {})}], metadata={}, include="None"
    )
    return dict(zip((column.name for column in shown), row["rows"][0]["cells"], strict=True))


def _pod(**parts: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "app"}], "initContainers": parts.pop("init", [])}
    return {"spec": spec, "metadata": parts.pop("metadata", {}), "status": parts}


RUNNING = {"name": "app", "ready": True, "state": {"running": {}}, "restartCount": 2}
SIDECAR = {"name": "linkerd-proxy", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("pod", "ready", "status"),
    [
        (_pod(phase="Pending"), "0/1", "Pending"),
        (_pod(phase="Running", containerStatuses=[RUNNING]), "1/1", "Running"),
        (
            _pod(
                phase="Pending",
                containerStatuses=[{"name": "app", "state": {"waiting": {"reason": "ErrImagePull"}}}],
            ),
            "0/1",
            "ErrImagePull",
        ),
        (
            _pod(
                phase="Failed",
                containerStatuses=[{"name": "app", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}],
            ),
            "0/1",
            "Error",
        ),
        (
            _pod(
                phase="Running",
                init=[SIDECAR],
                initContainerStatuses=[{"name": "linkerd-proxy", "started": True, "ready": True}],
                containerStatuses=[RUNNING],
            ),
            "2/2",
            "Running",
        ),
        (
            _pod(
                phase="Pending",
                init=[{"name": "linkerd-init"}, SIDECAR],
                initContainerStatuses=[
                    {"name": "linkerd-init", "state": {"terminated": {"exitCode": 0}}},
                    {"name": "linkerd-proxy", "started": False, "state": {"running": {}}},
                ],
            ),
            "0/2",
            "Init:1/2",
        ),
        (
            _pod(phase="Running", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}, containerStatuses=[RUNNING]),
            "1/1",
            "Terminating",
        ),
    ],
)
def test_pods_in_a_word(pod: dict[str, Any], ready: str, status: str) -> None:
    cells = _cells("Pod", pod)
    assert (cells["Ready"], cells["Status"]) == (ready, status)


def test_a_load_balancer_shows_its_address_and_node_ports() -> None:
    spec = {"type": "LoadBalancer", "clusterIP": "10.96.0.5", "ports": [{"port": 4143, "nodePort": 30001}]}
    cells = _cells("Service", {"spec": spec})
    assert (cells["External-IP"], cells["Port(s)"]) == ("<pending>", "4143:30001/TCP")
    status = {"loadBalancer": {"ingress": [{"ip": "172.30.10.1"}]}}
    assert _cells("Service", {"spec": spec, "status": status})["External-IP"] == "172.30.10.1"


@pytest.mark.parametrize("kind", [info.kind for info in BUILT_IN if "list" in info.verbs])
def test_every_kind_can_be_printed_with_nothing_but_a_name(kind: str) -> None:
    assert _cells(kind, {})["Name"] == "x"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (190, "3m10s"),
        (900, "15m"),
        (3 * 3600 + 60, "3h1m"),
        (100000, "27h"),
        (300000, "3d11h"),
    ],
)
def test_ages_as_kubectl_words_them(seconds: int, shown: str) -> None:
    assert duration(seconds) == shown


def test_printer_columns_of_custom_resources() -> None:
    info = ResourceInfo("example.org", "v1", "things", "Thing", True, custom=True)
    shown = columns.for_kind(
        info,
        [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "App", "type": "string", "jsonPath": r".metadata.labels.app\.kubernetes\.io/name"},
            {"name": "Gone", "type": "string", "jsonPath": ".spec.missing"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    )
    born = (datetime.now(UTC) - timedelta(minutes=15, seconds=30)).isoformat()
    metadata = {"name": "x", "labels": {"app.kubernetes.io/name": "web"}, "creationTimestamp": born}
    assert [column.cell({"metadata": metadata, "spec": {"size": 3}}) for column in shown] == [
        "x",
        3,
        "web",
        None,
        "15m",
    ]


def test_json_paths() -> None:
    obj = {"a": [{"t": "x", "v": 1}, {"t": "y", "v": 2}]}
    assert json_path('.a[?(@.t=="y")].v')(obj) == [2]
    assert json_path(".a[*].v")(obj) == [1, 2]
    assert json_path(".a[0].t")(obj) == ["x"]
    assert json_path(".b.c")(obj) == []
    assert json_path(".a[")(obj) == []


def test_events_say_what_happened_to_what_before_their_own_name() -> None:
    about = {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{web}"}
    shown = _cells(
        "Event", {"type": "Normal", "reason": "Started", "message": "Started container web\n", "involvedObject": about}
    )
    assert list(shown)[:4] == ["Last Seen", "Type", "Reason", "Object"]
    assert (shown["Object"], shown["Message"], shown["Count"]) == ("pod/web", "Started container web", 1)
