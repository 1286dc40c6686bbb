"""/etc/hosts and /etc/resolv.conf of a container."""

from collections.abc import Mapping
from typing import Any

from isthmus.lab.topology import DNS_VIP


def hostname_of(pod: Mapping[str, Any]) -> str:
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def hosts(pod: Mapping[str, Any], address: str, cluster_domain: str) -> str:
    spec, namespace = pod["spec"], pod["metadata"].get("namespace", "default")
    name = hostname_of(pod)
    names = f"{name}.{spec['subdomain']}.{namespace}.svc.{cluster_domain} {name}" if spec.get("subdomain") else name
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", f"{address}\t{names}"]
    lines += [f"{alias['ip']}\t{' '.join(alias.get('hostnames') or ())}" for alias in spec.get("hostAliases") or ()]
    return "\n".join(lines) + "\n"


def resolv_conf(pod: Mapping[str, Any], cluster_domain: str, node_conf: str = "") -> str:
    """By `dnsPolicy`, with `dnsConfig` added."""
    spec, namespace = pod["spec"], pod["metadata"].get("namespace", "default")
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    servers: list[str] = []
    search: list[str] = []
    options: dict[str, str] = {}
    if policy.startswith("ClusterFirst"):
        servers = [DNS_VIP]
        search = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        options = {"ndots": "5"}
    elif policy == "Default":
        servers = [line.split()[1] for line in node_conf.splitlines() if line.startswith("nameserver ")]
    extra = spec.get("dnsConfig") or {}
    servers += extra.get("nameservers") or []
    search += extra.get("searches") or []
    options |= {one["name"]: one.get("value") or "" for one in extra.get("options") or ()}
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append("options " + " ".join(f"{key}:{value}" if value else key for key, value in options.items()))
    return "\n".join(lines) + "\n"
