"""EndpointSlices: which addresses answer for a Service."""

import msgspec

from isthmus import names
from isthmus.kube.kinds import Kind
from isthmus.kube.meta import Key, Meta


class Conditions(msgspec.Struct, frozen=True, gc=False):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(msgspec.Struct, frozen=True, gc=False):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class SliceEndpoint(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    target_ref: TargetRef | None = None
    hostname: str | None = None

    @property
    def leaving(self) -> bool:
        """It is being deleted, so nobody counts on it any more."""
        return bool(self.conditions.terminating)

    @property
    def ready(self) -> bool:
        """May get new connections; an unknown readiness counts as ready, as the API says."""
        return self.conditions.ready is not False and not self.conditions.terminating


class EndpointPort(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The name is that of the Service's port; no number means that any port is meant."""

    port: int | None = None
    name: str | None = ""
    protocol: str | None = "TCP"


class EndpointSlice(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    metadata: Meta = Meta()
    address_type: str = "IPv4"
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service(self) -> Key | None:
        """The Service that it belongs to."""
        name = self.metadata.labels.get(names.SERVICE_NAME_LABEL)
        return (self.metadata.namespace, name) if name else None

    def port_numbers(self, name: str) -> tuple[int, ...]:
        """Numbers of the TCP port called `name` ("" for the only one)."""
        return tuple(
            port.port
            for port in self.ports or ()
            if port.port and (port.name or "") == name and (port.protocol or "TCP") == "TCP"
        )


ENDPOINT_SLICES = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", EndpointSlice)
