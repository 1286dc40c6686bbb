"""From what Envoy counts to Linkerd's names, while somebody scrapes. The standard library only.

Envoy says which requests it counted in one label each (`envoy.labels`); connections and bytes it counts anyway, for
each endpoint, destination and kind of listener. Lines go out as they come in: what is kept is one number for each
series without its status, and one for each endpoint that was ever connected to.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from isthmus import names
from isthmus.envoy import labels

REQUESTS: Final = (
    rf"^({labels.PREFIX}\.|cluster\..+\.endpoint\..+\.(cx_active|cx_total)$|control_plane.connected_state$"
    r"|server\.(live|uptime|memory_allocated)$)"
)
"""What is asked of Envoy's `/stats/prometheus`."""
CONNECTIONS: Final = (
    r"^(cluster\.(outbound/|export/|application|passthrough).*\.upstream|(http|tcp)\.(inbound|outbound|passthrough|gateway).*"
    r"\.downstream)_cx_(active|total|rx_bytes_total|tx_bytes_total)$"
    r"|^listener\..*_4143\.ssl\.fail_verify_(error|no_cert|san)$"
)
"""What is asked of Envoy's `/stats`."""
FAILED_CALLS: Final = frozenset({"2", "4", "7", "13", "14", "15"})
"""gRPC: unknown, deadline exceeded, permission denied, internal, unavailable, data loss. The others are answers."""

_KINDS: Final = (
    ("tcp_open_total", "counter"),
    ("tcp_close_total", "counter"),
    ("tcp_open_connections", "gauge"),
    ("tcp_read_bytes_total", "counter"),
    ("tcp_write_bytes_total", "counter"),
    ("gateway_tunnel_open_total", "counter"),
    ("gateway_tunnel_close_total", "counter"),
    ("gateway_tunnels", "gauge"),
    ("gateway_tunnel_refused_total", "counter"),
    ("inbound_tls_refused_total", "counter"),
    ("inbound_probe_total", "counter"),
    ("request_total", "counter"),
)
_COUNTS: Final = f"envoy_{labels.PREFIX}_"
_ENDPOINT: Final = re.compile(
    r'envoy_cluster_endpoint_cx_(active|total)\{envoy_cluster_name="([^"]*)",envoy_endpoint_address="[^"]*"'
    r'(?:,envoy_endpoint_hostname="([^"]*)")?\} (\d+)'
)
_CONNECTION: Final = re.compile(
    r"(cluster|http|tcp)\.(.+)\.(?:up|down)stream_cx_(active|total|rx_bytes_total|tx_bytes_total): (\d+)"
)
_UNPROVEN: Final = {"tls": "no_identity", "no_tls_reason": "no_tls_from_remote"}
_LISTENERS: Final[Mapping[str, Mapping[str, str]]] = {
    "inbound": {"direction": "inbound", **_UNPROVEN},
    "inbound-bytes": {"direction": "inbound", **_UNPROVEN},
    "inbound-mesh": {"direction": "inbound", "tls": "true"},
    "inbound-mesh-bytes": {"direction": "inbound", "tls": "true"},
    "gateway": {"direction": "inbound", "tls": "true"},
    "outbound": {"direction": "outbound"},
    "outbound-bytes": {"direction": "outbound"},
    "passthrough": {"direction": "outbound"},
}
"""Whom a listener's connections come from, by the name it counts under."""
_BYTES: Final = {
    ("src", "rx_bytes_total"): "tcp_read_bytes_total",
    ("src", "tx_bytes_total"): "tcp_write_bytes_total",
    ("dst", "rx_bytes_total"): "tcp_read_bytes_total",
    ("dst", "tx_bytes_total"): "tcp_write_bytes_total",
}

_TUNNELS: Final[Mapping[str, Mapping[str, int]]] = {
    "tunnel_open": {"gateway_tunnel_open_total": 1, "gateway_tunnels": 1},
    "tunnel_close": {"gateway_tunnel_close_total": 1, "gateway_tunnels": -1},
    "tunnel_refused": {"gateway_tunnel_refused_total": 1},
}

_PROBE: Final = "probe"

Labels = dict[str, str]


class Scrape:
    """One answer in the making: `requests` first, then `connections`, then `rest`."""

    def __init__(self, *, cluster_domain: str, trust_domain: str, clusters: Mapping[str, str]) -> None:
        self._domain = cluster_domain
        self._trust_domain = trust_domain
        self._clusters = clusters
        self._sums: dict[str, dict[str, float]] = {}
        self._common: dict[str, Labels] = {}
        self._typed = ""
        self._expand = lru_cache(maxsize=64)(self._labels)

    def requests(self, lines: Iterable[str]) -> Iterator[str]:
        """Read Envoy's `/stats/prometheus`; yields what can be said at once."""
        for line in lines:
            if line.startswith(_COUNTS):
                name, _, rest = line.removeprefix(_COUNTS).partition(f'{{{labels.LABEL}="')
                packed, _, value = _whole(rest).partition('"')
                yield from self._counted(name, packed, value)
            elif found := _ENDPOINT.fullmatch(line):
                self._endpoint(*found.groups())
            elif line.startswith(("envoy_server_", "envoy_control_plane_")):
                yield f"{line}\n"

    def connections(self, lines: Iterable[str]) -> None:
        """Read Envoy's `/stats`."""
        for line in lines:
            if found := _CONNECTION.fullmatch(line):
                self._connection(*found.groups())
            elif line.startswith("listener."):
                self._add("inbound_tls_refused_total", 'direction="inbound"', float(line.rpartition(": ")[2]))

    def rest(self) -> Iterator[str]:
        """Everything that is a sum."""
        for name, kind in _KINDS:
            series = self._sums.get(name)
            if series:
                yield f"# TYPE {name} {kind}\n"
                for text, value in series.items():
                    yield f"{name}{{{text}}} {value:.0f}\n"

    # --- requests -------------------------------------------------------------------------------------------------

    def _counted(self, name: str, packed: str, value: str) -> Iterator[str]:
        """`value` is what follows the label: perhaps `,le="5"`, then `} ` and the number."""
        if name in _TUNNELS:
            self._tunnel(name, packed, float(value[2:]))
            return
        if name == _PROBE:
            self._add("inbound_probe_total", text({"direction": "inbound", **labels.unpack(packed)}), float(value[2:]))
            return
        direction, timed, part = name.partition("_ms")
        common, status, grpc_status = self._expand(direction, packed, timed)
        if timed:
            yield from self._type("response_latency_ms", "histogram")
            yield f"response_latency_ms{part}{{{common}{value}\n"
            return
        self._add("request_total", common, float(value[2:]))
        if status != "0":
            yield from self._type("response_total", "counter")
            grpc = f',grpc_status="{grpc_status}"' if grpc_status else ""
            classified = f'classification="{classification(status, grpc_status)}"'
            yield f'response_total{{{common},status_code="{status}",{classified}{grpc}{value}\n'

    def _tunnel(self, name: str, packed: str, value: float) -> None:
        found = labels.unpack(packed)
        self._name_the_client(found)
        for metric, sign in _TUNNELS[name].items():
            self._add(metric, text(found), sign * value)

    def _type(self, name: str, kind: str) -> Iterator[str]:
        if self._typed != name:
            self._typed = name
            yield f"# TYPE {name} {kind}\n"

    def _labels(self, direction: str, packed: str, timed: str) -> tuple[str, str, str]:
        found = labels.unpack(packed)
        status = found.pop(labels.STATUS, "0")
        grpc_status = found.pop(labels.GRPC_STATUS, "")
        self._name_the_client(found)
        if "authority" in found:
            service, _, port = found["authority"].partition(":")
            found["authority"] = f"{service}.svc.{self._domain}:{port}"
        return text({"direction": direction, **(labels.brief(found) if timed else found)}), status, grpc_status

    def _name_the_client(self, found: Labels) -> None:
        """Linkerd's name for a SPIFFE ID, and the linked cluster it comes from."""
        client = found.pop(labels.CLIENT, "")
        if not client:
            return
        parts = client.removeprefix("spiffe://").split("/")
        if len(parts) != 5:
            found["client_id"] = client
            return
        domain, _, namespace, _, account = parts
        found["client_id"] = names.identity_name(domain, namespace, account)
        if domain != self._trust_domain:
            found["src_cluster"] = self._clusters.get(domain, domain)

    # --- connections ----------------------------------------------------------------------------------------------

    def _endpoint(self, stat: str, cluster: str, packed: str | None, value: str) -> None:
        if packed == labels.PLACEHOLDER:
            return
        found = labels.unpack(packed or "")
        common = self._common.setdefault(cluster, found)
        if common is not found:
            self._common[cluster] = {key: common[key] for key in common if found.get(key) == common[key]}
        if cluster.startswith(names.OUTBOUND_CLUSTER_PREFIX):
            self._open(text({"direction": "outbound", "peer": "dst", **found}), stat, float(value))

    def _connection(self, kind: str, name: str, stat: str, value: str) -> None:
        number = float(value)
        if kind != "cluster":
            found = _LISTENERS.get(name)
            if found:
                self._passed(text({**found, "peer": "src"}), "src", stat, number)
        elif name in self._common:
            own = {key: value for key, value in self._common[name].items() if key != "dst_pod"}
            if stat not in ("active", "total"):
                self._passed(text({"direction": "outbound", "peer": "dst", **own}), "dst", stat, number)
        else:
            outward = name.startswith((names.OUTBOUND_CLUSTER_PREFIX, "passthrough"))
            self._passed(text({"direction": "outbound" if outward else "inbound", "peer": "dst"}), "dst", stat, number)

    def _passed(self, series: str, peer: str, stat: str, number: float) -> None:
        if stat in ("active", "total"):
            self._open(series, stat, number)
        else:
            self._add(_BYTES[peer, stat], series, number)

    def _open(self, series: str, stat: str, number: float) -> None:
        if stat == "total":
            self._add("tcp_open_total", series, number)
            self._add("tcp_close_total", series, number)
        else:
            self._add("tcp_open_connections", series, number)
            self._add("tcp_close_total", series, -number)

    def _add(self, name: str, series: str, number: float) -> None:
        sums = self._sums.setdefault(name, {})
        sums[series] = sums.get(series, 0.0) + number


def _whole(text: str) -> str:
    """The same without what is escaped in a label's value: no name that we know holds any of it."""
    if "\\" in text:
        text = text.replace("\\\\", "_").replace('\\"', "_").replace("\\n", "_")
    return text


def linked(secret: str) -> dict[str, str]:
    """Trust domain to the name of its linked cluster, from Envoy's dump of the secret with the bundles."""
    if names.CLUSTER_COMMENT not in secret:
        return {}
    import json

    found: dict[str, str] = {}
    for each in json.loads(secret).get("configs") or ():
        validator = each["secret"]["validation_context"]["custom_validator_config"]["typed_config"]
        for domain in validator["trust_domains"]:
            first = domain["trust_bundle"]["inline_string"].partition("\n")[0]
            if first.startswith(names.CLUSTER_COMMENT):
                found[domain["name"]] = labels.harmless(first.removeprefix(names.CLUSTER_COMMENT))
    return found


def classification(status: str, grpc_status: str) -> str:
    """Linkerd's: what the server did wrong is a failure, what the client did wrong is not."""
    return "failure" if status.startswith("5") or grpc_status in FAILED_CALLS else "success"


def text(found: Mapping[str, str]) -> str:
    """Labels as they are written."""
    return ",".join(f'{key}="{value}"' for key, value in found.items())
