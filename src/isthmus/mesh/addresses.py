"""Resource names that carry an address: `outbound/10.96.0.5:8080`, `export/[fd00::7]:80`."""

from ipaddress import ip_address

from isthmus.mesh.model import Address


def parse(name: str, prefix: str) -> Address | None:
    """The address after the prefix; None if it is not a literal IP and a port in their one canonical spelling."""
    if not name.startswith(prefix):
        return None
    host, colon, port = name[len(prefix) :].rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or len(port) > 5 or not 0 < int(port) <= 65535:
        return None
    try:
        address = Address(str(ip_address(host.removeprefix("[").removesuffix("]"))), int(port))
    except ValueError:
        return None
    # Two names for one address would be two clusters.
    return address if prefix + str(address) == name else None
