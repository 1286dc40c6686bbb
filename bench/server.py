"""The application under load: Envoy answering from memory, so that nothing new is needed and nobody waits for it."""

import json
from pathlib import Path
from typing import Any, Final

from bench.processes import SERVER_CONFIG

IMAGE: Final = "isthmus-bench/server"
BIG_PATH: Final = "/big"
MEGABYTE: Final = 1 << 20
_BODY_FILE: Final = "/bench/megabyte"
_SMALL_BODY: Final = '{"service":"server","path":"/","answer":"' + "x" * 50 + '"}\n'
_TYPE: Final = "type.googleapis.com/envoy.extensions.filters."


def image(folder: Path, envoy: Path) -> dict[str, Any]:
    """The lab's entry for the image; its files are made in `folder`."""
    config, body = folder / "server.json", folder / "megabyte"
    config.write_text(json.dumps(_bootstrap()))
    body.write_bytes(b"x" * MEGABYTE)
    program = "/isthmus/bin/envoy"
    return {
        IMAGE: {
            "entrypoint": [program, "-c", SERVER_CONFIG, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"],
            "files": {program: str(envoy), SERVER_CONFIG: str(config), _BODY_FILE: str(body)},
        }
    }


def on_loopback(host: str, port: int) -> str:
    """The same application's configuration without the lab, and without the big body."""
    config = _bootstrap()
    [listener] = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": host, "port_value": port}
    routes = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    del routes[0]
    return json.dumps(config)


def _bootstrap() -> dict[str, Any]:
    manager = {
        "@type": _TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "server",
        "generate_request_id": False,
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": _TYPE + "http.router.v3.Router"}}
        ],
        "route_config": {
            "max_direct_response_body_size_bytes": 2 * MEGABYTE,
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        _answer({"path": BIG_PATH}, {"filename": _BODY_FILE}),
                        _answer({"prefix": "/"}, {"inline_string": _SMALL_BODY}),
                    ],
                }
            ],
        },
    }
    listener = {
        "name": "server",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 8080}},  # noqa: S104
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener]}}


def _answer(match: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    return {"match": match, "direct_response": {"status": 200, "body": body}}
