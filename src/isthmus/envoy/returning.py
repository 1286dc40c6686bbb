"""Letting a group of endpoints come back slowly: by endpoints that weigh something and are never healthy.

Envoy gives a priority traffic by the part of it that is healthy, and knows no other way to give it less. So for the
time of its return a group has a placeholder that weighs what is to be held back. Nobody is ever sent there.
"""

from typing import Any, Final

from envoy.config.endpoint.v3 import endpoint_components_pb2

from isthmus.envoy import labels, wire
from isthmus.mesh import failback
from isthmus.mesh.model import Address, Endpoint, OutboundCluster

_PLACEHOLDER: Final = Address("192.0.2.1", 1)
"""An address for documentation: nobody's."""
_FINE: Final = 100
_SMALL: Final = 10_000


def scale(outbound: OutboundCluster) -> int:
    """What weights are multiplied with, so that a part of few small ones can be told exactly."""
    heaviest = max(map(_weight, outbound.priorities), default=0)
    return _FINE if outbound.returning and heaviest < _SMALL else 1


def placeholders(outbound: OutboundCluster) -> list[Any]:
    """One for each group that is to have less than it could carry."""
    factor, unit = failback.factor(outbound.spill_below), scale(outbound)
    found = []
    for priority, (group, level) in enumerate(zip(outbound.priorities, outbound.returning, strict=False)):
        if level < failback.capacity(group, outbound.spill_below):
            ready = _weight(tuple(endpoint for endpoint in group if endpoint.ready))
            weight = factor * ready * unit // level - _weight(group) * unit
            found.append(_placeholder(priority, max(1, weight)))
    return found


def _weight(group: tuple[Endpoint, ...]) -> int:
    return sum(endpoint.weight for endpoint in group)


def _placeholder(priority: int, weight: int) -> Any:
    endpoint = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(
            address=wire.socket_address(_PLACEHOLDER), hostname=labels.PLACEHOLDER
        ),
        health_status="UNHEALTHY",
        load_balancing_weight=wire.uint32(weight),
    )
    message = endpoint_components_pb2.LocalityLbEndpoints(priority=priority, lb_endpoints=[endpoint])
    message.locality.sub_zone = "held back"
    return message
