"""How one endpoint is chosen among many and when it is set aside: the one place to exchange the balancer."""

from typing import Any

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.extensions.load_balancing_policies.common.v3 import common_pb2
from envoy.extensions.load_balancing_policies.least_request.v3 import least_request_pb2
from envoy.type.v3 import percent_pb2

from isthmus.envoy import wire

UNLIMITED = 1 << 30
_FAILURES = 3
_JITTER = 1.0
"""Endpoints that were set aside together come back one after the other."""
_NEARLY_ALL = 90
"""Percent."""
_ALL_BUT_ONE = 99
"""Percent. Setting the last one aside, too, would refuse every request for seconds: with a gateway that restarts, all
tunnels through it end at the same moment, and all of them are well through the next one."""


def policy(*, shared: bool = False) -> Any:
    """Of two random endpoints the one with fewer requests in flight.

    Where backends have `shared` traffic by weight, first a backend is drawn, however busy it is: or the one that is
    farther away would get less than its share.
    """
    localities = common_pb2.LocalityLbConfig(
        locality_weighted_lb_config=common_pb2.LocalityLbConfig.LocalityWeightedLbConfig()
    )
    least_request = least_request_pb2.LeastRequest(
        choice_count=wire.uint32(2), locality_lb_config=localities if shared else None
    )
    return cluster_pb2.LoadBalancingPolicy(
        policies=[
            cluster_pb2.LoadBalancingPolicy.Policy(
                typed_extension_config=wire.extension(
                    extension_pb2.TypedExtensionConfig,
                    "envoy.load_balancing_policies.least_request",
                    least_request,
                )
            )
        ]
    )


def common() -> Any:
    """Never send to an endpoint known to be bad just because the others are bad too, and use what is known at once.

    Envoy would keep a change of health back for a second after another one: one endpoint is found well again, the other
    one dead, and requests go on to the dead one.
    """
    return cluster_pb2.Cluster.CommonLbConfig(
        healthy_panic_threshold=percent_pb2.Percent(value=0), update_merge_window=wire.seconds(0)
    )


def circuit_breakers() -> Any:
    """The mesh does not limit what the application asks for."""
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=wire.uint32(UNLIMITED),
        max_pending_requests=wire.uint32(UNLIMITED),
        max_requests=wire.uint32(UNLIMITED),
        max_retries=wire.uint32(UNLIMITED),
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[threshold])


def outlier_detection() -> Any:
    """Set an endpoint aside when it cannot be reached, or when its proxy answers in its stead, several times in a row.

    Not the first time: a WebSocket that its application drops counts as one failure, too.
    """
    message = _outlier_detection()
    message.enforcing_consecutive_local_origin_failure.value = 100
    return message


def patient_outlier_detection() -> Any:
    """Set an endpoint aside for a second when nearly all of half a second's attempts to reach it failed.

    For endpoints behind gateways that have no standby. A gateway that dies ends all tunnels through it at once: every
    request in them is a failure in a row of an endpoint that is well through the next gateway. The first endpoints
    would go, all but the last one, and that could be the one that died with the gateway's node. Where a gateway's
    trouble still passes for theirs, they are back before requests give up.
    """
    message = _outlier_detection()
    message.enforcing_failure_percentage_local_origin.value = 100
    message.failure_percentage_threshold.value = _NEARLY_ALL
    message.failure_percentage_minimum_hosts.value = 1
    message.failure_percentage_request_volume.value = 1
    message.interval.CopyFrom(wire.seconds(0.5))
    message.base_ejection_time.CopyFrom(wire.seconds(1))
    message.max_ejection_time.CopyFrom(wire.seconds(1))
    message.max_ejection_time_jitter.CopyFrom(wire.seconds(_JITTER / 4))
    return message


def _outlier_detection() -> Any:
    return outlier_detection_pb2.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=wire.uint32(_FAILURES),
        enforcing_consecutive_local_origin_failure=wire.uint32(0),
        consecutive_5xx=wire.uint32(_FAILURES),
        enforcing_consecutive_5xx=wire.uint32(100),
        enforcing_consecutive_gateway_failure=wire.uint32(0),
        enforcing_success_rate=wire.uint32(0),
        enforcing_local_origin_success_rate=wire.uint32(0),
        interval=wire.seconds(1),
        base_ejection_time=wire.seconds(2),
        max_ejection_time=wire.seconds(10),
        max_ejection_time_jitter=wire.seconds(_JITTER),
        max_ejection_percent=wire.uint32(_ALL_BUT_ONE),
    )
