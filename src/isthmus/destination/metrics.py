"""What this process counts."""

from contextlib import suppress
from typing import Final

from prometheus_client import Counter, Gauge

STREAMS: Final = Gauge("isthmus_ads_streams", "Proxies that are connected")
RESPONSES: Final = Counter("isthmus_ads_responses", "Responses sent to proxies")
RESPONSE_BYTES: Final = Counter("isthmus_ads_response_bytes", "Bytes of responses sent to proxies")
REFUSED: Final = Counter("isthmus_ads_refused", "Responses that a proxy refused")
DENIED: Final = Counter("isthmus_ads_denied", "Streams that were denied because the client is not the proxy it says")
REMOTE_UP: Final = Gauge(
    "isthmus_remote_cluster_up", "Whether the API of a linked cluster can be followed", ["target_cluster_name"]
)
REMOTE_SERVICES: Final = Gauge(
    "isthmus_remote_services", "Services of linked clusters that some proxy here uses", ["target_cluster_name"]
)


def forget(cluster: str) -> None:
    """A cluster that is not linked any more."""
    for gauge in (REMOTE_UP, REMOTE_SERVICES):
        with suppress(KeyError):
            gauge.remove(cluster)
