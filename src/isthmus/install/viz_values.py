"""Every value that the viz extension depends on, named as Linkerd's Helm values are where it has them."""

from dataclasses import dataclass
from typing import Any, Final

from isthmus import names
from isthmus.install.schema import value
from isthmus.install.template import every, unset
from isthmus.install.values import LOG_LEVELS, cluster_name, like, one_of, pull_policy, registry_path, tag

url: Final = like(r"(https?://[^\s\"'{}]+)?", "a URL such as http://prometheus.monitoring:9090")
image: Final = like(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*", "the name of an image")
lasting: Final = like(r"([0-9]+(ms|s|m|h|d|w|y))+", "a duration such as 10s or 6h")


@dataclass(frozen=True, slots=True, kw_only=True)
class VizValues:
    """What `linkerd viz install` was asked for."""

    registry: str = value("registry", names.DEFAULT_REGISTRY, registry_path)
    version: str = value("linkerdVersion", names.VERSION, tag)
    image_pull_policy: str = value("imagePullPolicy", "IfNotPresent", pull_policy)
    log_level: str = value("logLevel", "info", one_of(*LOG_LEVELS))
    prometheus_url: str = value("prometheusUrl", "", url)
    """One that is there already; none is installed then."""
    prometheus_enabled: bool = value("prometheus.enabled", True)
    prometheus_image: str = value("prometheus.image", "docker.io/prom/prometheus:v2.55.1", image)
    prometheus_retention: str = value("prometheus.retention", "6h", lasting)
    prometheus_scrape_interval: str = value("prometheus.scrapeInterval", "10s", lasting)
    dashboards: bool = value("dashboards.enabled", True)
    page: bool = value("dashboard.enabled", True)
    """Whether `linkerd viz dashboard` has something to show."""
    shared: bool = value("dashboard.shared", True)
    """Whether clusters that link here may show this one's numbers on their page."""
    cluster_name: str = value("clusterName", "", cluster_name)
    multicluster: bool = value("multicluster.enabled", True)
    """Whether the multi-cluster extension's namespace is there, with the credentials of Links in it."""
    namespace: str = names.VIZ_NAMESPACE

    @property
    def installs_prometheus(self) -> Any:
        return every(self.prometheus_enabled, unset(self.prometheus_url))
