"""Single requests as people read them."""

import pytest
from tests.viz.views import pod

from isthmus.kube.meta import Meta
from isthmus.resources.core import Service, ServiceSpec
from isthmus.viz.tapped import MOST_ROWS, Names, Request, Top, duration, lines

FRONTEND = pod("frontend-1", "frontend")
MIRROR = Service(
    metadata=Meta(name="backend-cluster-east", namespace="default"), spec=ServiceSpec(cluster_ip="10.96.0.9")
)
NAMES = Names.of([FRONTEND], [MIRROR])
ASKED = Request(
    direction="outbound",
    src=f"{FRONTEND.ip}:5000",
    called="10.96.0.9:8080",
    dst="east/10.0.0.9:8080",
    peer="spiffe://east/ns/default/sa/backend",
    method="GET",
    authority="backend-cluster-east:8080",
    path="/a?token=1",
    status="200",
    latency_us=1500,
)


def changed(**more: object) -> Request:
    return Request(**({name: getattr(ASKED, name) for name in ASKED.__struct_fields__} | more))  # type: ignore[arg-type]


def test_a_request_has_lines_as_linkerd_prints_them() -> None:
    ends = "proxy=out src=10.0.0.1:5000 dst=east/10.0.0.9:8080 tls=true"
    assert lines("0:1", ASKED, None).splitlines() == [
        f"req id=0:1 {ends} :method=GET :authority=backend-cluster-east:8080 :path=/a?token=1",
        f"rsp id=0:1 {ends} :status=200 latency=1500µs",
        f"end id=0:1 {ends}",
    ]


def test_a_call_ends_with_the_name_of_its_status() -> None:
    assert lines("0:1", changed(grpc_status="14"), None).endswith("grpc-status=Unavailable")


def test_wide_lines_say_what_the_addresses_are() -> None:
    wide = lines("0:1", ASKED, NAMES)
    assert "src_res=deployment/frontend src_ns=default dst_res=service/backend-cluster-east (east)" in wide


@pytest.mark.parametrize("field", ["method", "authority", "path", "peer", "grpc_status", "length", "proxy_error"])
def test_nothing_that_a_client_writes_breaks_a_line_or_moves_the_cursor(field: str) -> None:
    told = lines("0:1", changed(**{field: "\x1b[2J\r\nreq id=9:9\u202e"}), NAMES)
    assert len(told.splitlines()) == 3
    assert not {"\x1b", "\r", "\u202e"} & set(told)


def test_a_request_that_nobody_answered_has_no_answer_and_no_reason_that_is_not_known() -> None:
    told = lines("0:1", changed(status="", peer="", latency_us=None), None)
    assert "rsp" not in told
    assert "tls=-" in told


def test_top_adds_up_what_is_alike() -> None:
    top = Top(NAMES)
    for latency, failed in ((1500, False), (90, False), (2_500_000, True)):
        top.add(changed(latency_us=latency, failed=failed, path=f"/a?token={latency}"))
    header, row = (" ".join(line.split()) for line in top.table(10).splitlines())
    assert header == "Source Destination Method Path Count Best Worst Last Success Rate"
    assert row == "deployment/frontend service/backend-cluster-east (east) GET /a 3 90µs 2.5s 2.5s 66.67%"


def test_whoever_asks_for_a_new_path_each_time_fills_no_memory() -> None:
    top = Top(NAMES)
    for number in range(MOST_ROWS + 5):
        top.add(changed(path=f"/{number}"))
    assert (len(top.rows), top.left_out) == (MOST_ROWS, 5)


@pytest.mark.parametrize(("microseconds", "told"), [(None, "-"), (999, "999µs"), (1000, "1ms"), (1_000_000, "1.0s")])
def test_durations_are_told_in_the_unit_that_fits(microseconds: int | None, told: str) -> None:
    assert duration(microseconds) == told
