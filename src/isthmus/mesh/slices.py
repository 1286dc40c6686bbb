"""EndpointSlices by the Service that they belong to, and by the addresses that they list."""

from isthmus.resources.discovery import EndpointSlice
from isthmus.resources.keys import Key


class Slices:
    """An index; slices that belong to no Service are not in it."""

    def __init__(self) -> None:
        self._slices: dict[Key, dict[Key, EndpointSlice]] = {}
        self._backed: dict[str, dict[Key, Key]] = {}

    def of(self, service: Key) -> tuple[EndpointSlice, ...]:
        return tuple(self._slices.get(service, {}).values())

    def listing(self, host: str) -> tuple[Key, ...]:
        """The Services that list this address, ready or not."""
        return tuple(sorted(set(self._backed.get(host, {}).values())))

    def change(self, old: EndpointSlice | None, new: EndpointSlice | None) -> set[Key]:
        """One slice, before and after; returns the Services that it belonged or belongs to."""
        services: set[Key] = set()
        for each, present in ((old, False), (new, True)):
            if each is not None and (service := each.service) is not None:
                self._file(each, service, present=present)
                services.add(service)
        return services

    def _file(self, item: EndpointSlice, service: Key, *, present: bool) -> None:
        key = item.metadata.key
        if present:
            self._slices.setdefault(service, {})[key] = item
            for address in addresses(item):
                self._backed.setdefault(address, {})[key] = service
            return
        filed = self._slices.get(service, {})
        filed.pop(key, None)
        if not filed:
            self._slices.pop(service, None)
        for address in addresses(item):
            backed = self._backed.get(address, {})
            backed.pop(key, None)
            if not backed:
                self._backed.pop(address, None)


def addresses(item: EndpointSlice | None) -> set[str]:
    return {address for endpoint in (item.endpoints or () if item else ()) for address in endpoint.addresses}
