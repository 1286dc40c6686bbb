"""What the pod tells its proxy by environment variables."""

from collections.abc import Mapping
from typing import Final

from isthmus import names

REQUIRED: Final = (
    "ISTHMUS_POD_NAME",
    "ISTHMUS_POD_NAMESPACE",
    "ISTHMUS_SERVICE_ACCOUNT",
    "ISTHMUS_TRUST_DOMAIN",
    "ISTHMUS_TRUST_ANCHORS",
    "ISTHMUS_IDENTITY_ADDR",
    "ISTHMUS_DESTINATION_ADDR",
)
COLLECTOR: Final = "ISTHMUS_TRACING_COLLECTOR"
LOG_LEVELS: Final = ("trace", "debug", "info", "warn", "warning", "error", "critical", "off")


class SettingsError(Exception):
    """The environment cannot be used; the message says which variable and why."""


class Settings:
    """The environment, checked. A plain class: `dataclasses` would cost the pod a megabyte."""

    __slots__ = (
        "admin_port",
        "cluster_domain",
        "collector",
        "destination",
        "drain_seconds",
        "envoy",
        "envoy_admin_port",
        "identity",
        "identity_dial",
        "identity_dir",
        "log_level",
        "namespace",
        "pod",
        "service_account",
        "token_file",
        "trust_anchors",
        "trust_domain",
    )

    def __init__(self, environment: Mapping[str, str]) -> None:
        missing = [name for name in REQUIRED if not environment.get(name)]
        if missing:
            raise SettingsError(f"the pod does not set {', '.join(missing)}: was it made by the proxy injector?")
        self.pod = environment["ISTHMUS_POD_NAME"]
        self.namespace = environment["ISTHMUS_POD_NAMESPACE"]
        self.service_account = environment["ISTHMUS_SERVICE_ACCOUNT"]
        self.trust_domain = environment["ISTHMUS_TRUST_DOMAIN"]
        self.trust_anchors = environment["ISTHMUS_TRUST_ANCHORS"]
        self.identity = _address(environment, "ISTHMUS_IDENTITY_ADDR")
        self.identity_dial = self.identity
        """Where to connect to; the certificate must be for the host in `identity` wherever that is."""
        self.destination = _address(environment, "ISTHMUS_DESTINATION_ADDR")
        self.collector = _address(environment, COLLECTOR) if environment.get(COLLECTOR) else None
        """Where spans are sent to."""
        self.cluster_domain = self.identity[0].partition(".svc.")[2]
        self.log_level = _log_level(environment.get("ISTHMUS_LOG_LEVEL", "warn"))
        self.drain_seconds = _seconds(environment, "ISTHMUS_DRAIN_SECONDS", "5")
        self.envoy = environment.get("ISTHMUS_ENVOY", "envoy")
        self.identity_dir = environment.get("ISTHMUS_IDENTITY_DIR", names.IDENTITY_DIR)
        self.token_file = environment.get("ISTHMUS_TOKEN_FILE", f"{names.TOKEN_DIR}/{names.TOKEN_FILE}")
        self.admin_port = names.ADMIN_PORT
        self.envoy_admin_port = names.ENVOY_ADMIN_PORT

    @property
    def bootstrap_file(self) -> str:
        return f"{self.identity_dir}/envoy.json"

    @property
    def spiffe_id(self) -> str:
        return names.spiffe_id(self.trust_domain, self.namespace, self.service_account)

    @property
    def identity_name(self) -> str:
        return names.identity_name(self.trust_domain, self.namespace, self.service_account)

    @property
    def destination_spiffe_id(self) -> str:
        return names.spiffe_id(self.trust_domain, names.CONTROL_PLANE_NAMESPACE, names.DESTINATION_DEPLOYMENT)


def _address(environment: Mapping[str, str], name: str) -> tuple[str, int]:
    host, _, port = environment[name].rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(f"{name} is {environment[name]!r}: it must be <host>:<port>")
    return host, int(port)


def _log_level(text: str) -> str:
    """Envoy's level for a level or a Linkerd filter such as `warn,linkerd=info`: its first plain word."""
    for part in text.lower().split(","):
        if part in LOG_LEVELS:
            return part
    return "warn"


def _seconds(environment: Mapping[str, str], name: str, default: str) -> float:
    try:
        return float(environment.get(name, default))
    except ValueError:
        raise SettingsError(f"{name} is {environment[name]!r}: it must be a number of seconds") from None
