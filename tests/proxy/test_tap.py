"""What is told of a request, and what Envoy is asked for."""

import json
from typing import Any

from isthmus import names
from isthmus.proxy.tap import Wish
from isthmus.proxy.traces import address, told

POD = "10.0.0.7"


def place(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def headers(**found: str) -> list[dict[str, str]]:
    return [{"key": key.replace("_", "-"), "value": value} for key, value in found.items()]


def trace(*, inbound: bool = False, asked: Any = (), answered: Any = (), trailers: Any = ()) -> dict[str, Any]:
    client = {"local_address": place(POD if inbound else "10.96.0.9", 80), "remote_address": place("10.0.0.3", 5)}
    return {
        "http_buffered_trace": {
            "request": {"headers": asked, "headers_received_time": "2030-01-01T00:00:00.999900Z"},
            "response": {
                "headers": answered,
                "trailers": trailers,
                "headers_received_time": "2030-01-01T00:00:01.000150Z",
            },
            "downstream_connection": client,
        }
    }


def test_a_header_of_the_application_is_not_told() -> None:
    asked = headers(authorization="secret", cookie="secret", x_token="secret")
    assert "secret" not in json.dumps(told(trace(asked=asked, answered=headers(set_cookie="secret")), POD))


def test_latency_is_from_the_request_to_the_first_of_the_answer() -> None:
    assert told(trace(), POD)["latency_us"] == 250


def test_a_client_cannot_say_who_the_server_is() -> None:
    forged = headers(**{names.SERVER_ID_HEADER.replace("-", "_"): "spiffe://me"})
    assert told(trace(asked=forged), POD)["peer"] == ""
    proven = headers(**{names.CLIENT_ID_HEADER.replace("-", "_"): "spiffe://client"})
    assert told(trace(inbound=True, asked=proven), POD)["peer"] == "spiffe://client"
    assert told(trace(inbound=False, asked=proven), POD)["peer"] == ""


def test_a_failed_call_is_told_from_an_answer() -> None:
    ok = [{"key": ":status", "value": "200"}]
    assert told(trace(answered=ok, trailers=headers(grpc_status="14")), POD)["failed"]
    assert not told(trace(answered=ok, trailers=headers(grpc_status="5")), POD)["failed"]


def test_a_pod_behind_a_tunnel_is_told_with_its_cluster() -> None:
    internal = {"server_listener_name": "tunnel", "endpoint_id": "east/10.0.0.7:80"}
    assert address({"envoy_internal_address": internal}) == "east/10.0.0.7:80"


def test_bodies_are_never_asked_for() -> None:
    for wish in (Wish(most=1, headers=[]), Wish(most=1, headers=[(":path", "prefix", "/a")])):
        output = json.loads(wish.config())["tap_config"]["output_config"]
        assert (output["max_buffered_rx_bytes"], output["max_buffered_tx_bytes"]) == (0, 0)


def test_whatever_is_written_in_a_path_stays_one_line() -> None:
    path = "/\n\x1b[2J\u2028" + "x" * 5000
    line = json.dumps(told(trace(asked=[{"key": ":path", "value": path}]), POD))
    assert line.isprintable()
    assert len(line) < 2000
