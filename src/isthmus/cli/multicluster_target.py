"""What another cluster must know to reach this one: read from the cluster, with the next step where it is missing."""

import base64
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import click
import yaml

from isthmus import names
from isthmus.cli.multicluster_objects import Target
from isthmus.cli.options import Cluster, fail
from isthmus.kube import errors
from isthmus.kube.kinds import Object, plain
from isthmus.multicluster import tokens
from isthmus.resources import gateways

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
SERVICES: Final = plain("v1", "Service", "services")
SLICES: Final = plain("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
ROOT_CONFIG_MAP: Final = "kube-root-ca.crt"
"""Kubernetes publishes it in every namespace."""
INSTALL: Final = "Run `linkerd multicluster install | kubectl apply -f -` there first."
WAIT: Final = 30.0
PAUSE: Final = 0.3

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A cluster as the flags describe it: what it is called, and where others reach it."""

    name: str
    namespace: str
    account: str
    api_server_address: str | None
    gateway: bool
    gateway_name: str
    gateway_namespace: str
    gateway_addresses: str | None
    gateway_port: int | None


def inspect(client: "SyncClient", cluster: Cluster, place: Place) -> Target:
    """Everything the other cluster must know; ends the command, with the next step, when something is missing."""
    values, roots = control_plane(client, cluster)
    trust_domain = roots[names.TRUST_DOMAIN_KEY]
    annotations: dict[str, str] = {}
    hosts, port, followed = "", "", ""
    if place.gateway:
        service = _gateway(client, cluster, place.gateway_name, place.gateway_namespace)
        annotations = service["metadata"].get("annotations") or {}
        if place.gateway_addresses is not None:
            default = place.gateway_port or int(_service_port(service, outside=True))
            hosts, port = _given_addresses(place.gateway_addresses, default)
        else:
            hosts, port = _published(client, service, place.gateway_port)
            # A port that is given may be anywhere in front of the Service, so nothing of that one is followed.
            followed = "" if place.gateway_port else f"{place.gateway_namespace}/{place.gateway_name}"
    account = f"{place.gateway_name}.{place.gateway_namespace}.serviceaccount.identity"
    return Target(
        name=place.name,
        domain=str(values.get("clusterDomain") or "cluster.local"),
        linkerd_namespace=cluster.linkerd_namespace,
        namespace=place.namespace,
        trust_domain=trust_domain,
        trust_bundle=roots[names.TRUST_ROOTS_KEY],
        server=_server(client, place.api_server_address),
        authority=_authority(client, place.namespace),
        account=place.account or names.REMOTE_ACCESS_ACCOUNT,
        gateway_addresses=hosts,
        gateway_port=port,
        gateway_service=followed,
        gateway_identity=f"{account}.{cluster.linkerd_namespace}.{trust_domain}" if place.gateway else "",
        probe_period=annotations.get("mirror.linkerd.io/probe-period", "3").removesuffix("s") + "s",
        probe_path=annotations.get("mirror.linkerd.io/probe-path", "/ready"),
    )


def control_plane(client: "SyncClient", cluster: Cluster) -> tuple[dict[str, Any], dict[str, str]]:
    hint = "Run `linkerd install | kubectl apply -f -` there first."
    try:
        config = client.get(CONFIG_MAPS, names.CONFIG_MAP, cluster.linkerd_namespace)
        roots = client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, cluster.linkerd_namespace)
    except errors.NotFound:
        fail(f"The control plane is not installed in {cluster.label}.", hint)
    try:
        values = dict(yaml.safe_load(config["data"]["values"]))
        data = {key: str(roots["data"][key]) for key in (names.TRUST_DOMAIN_KEY, names.TRUST_ROOTS_KEY)}
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        fail(f"The configuration of the control plane in {cluster.label} is incomplete.", hint)
    return values, data


def token(client: "SyncClient", cluster: Cluster, account: str, namespace: str, *, life: int) -> str:
    """A token of the account, for `life` seconds or what the API server allows; it is kept nowhere."""
    try:
        made = client.call(tokens.request(namespace, account, life)).status.token
    except errors.NotFound:
        fail(
            f"{cluster.label} has no ServiceAccount {namespace}/{account}.",
            f"{INSTALL} For an account of your own, use `linkerd multicluster allow`.",
        )
    except errors.Forbidden as error:
        fail(str(error), f"Linking needs the permission to create tokens of ServiceAccount {namespace}/{account}.")
    found = tokens.parse(made)
    if found and found.life < life:
        click.echo(
            f"note: {cluster.label} gives credentials until {found.expiry} at most; they are renewed before.", err=True
        )
    return made


def _authority(client: "SyncClient", namespace: str) -> str:
    """Who vouches for the API server (base64 PEM), as its own pods know; "" leaves it to the other cluster's roots."""

    def ready() -> str | None:
        try:
            data = client.get(CONFIG_MAPS, ROOT_CONFIG_MAP, namespace).get("data") or {}
        except errors.NotFound:
            return None
        return str(data.get("ca.crt") or "") or None

    found = _eventually(ready, f"ConfigMap {namespace}/{ROOT_CONFIG_MAP}")
    return base64.b64encode(found.encode()).decode() if found else ""


def _eventually(ready: Callable[[], T | None], what: str) -> T | None:
    """Its value once it has one; things that were just applied take a moment."""
    deadline = time.monotonic() + WAIT
    told = False
    while (value := ready()) is None:
        if time.monotonic() > deadline:
            return None
        if not told:
            click.echo(f"waiting for {what}", err=True)
            told = True
        time.sleep(PAUSE)
    return value


def _gateway(client: "SyncClient", cluster: Cluster, name: str, namespace: str) -> Object:
    try:
        return client.get(SERVICES, name, namespace)
    except errors.NotFound:
        fail(
            f"{cluster.label} has no gateway: Service {namespace}/{name} does not exist.",
            f"{INSTALL} Without a gateway, use --gateway=false.",
        )


def _given_addresses(text: str, default: int) -> tuple[str, str]:
    """Hosts and port as given by flags. Where hosts have ports of their own that differ, each is written with its."""
    found, problems = gateways.parse(text, default)
    if problems or not found:
        raise click.BadParameter(" ".join(problems) or f'"{text}" names no host', param_hint="--gateway-addresses")
    if len({host.port for host in found}) == 1:
        return ",".join(host.host for host in found), str(found[0].port)
    return ",".join(map(str, found)), str(default)


def _published(client: "SyncClient", service: Object, port: int | None) -> tuple[str, str]:
    """The addresses that the gateway's load balancer was given."""
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    advice = "Say where it is reachable with --gateway-addresses=<host>[:port]."
    if service["spec"].get("type") == "NodePort":
        number = _service_port(service, outside=True)
        fail(
            f"The gateway {namespace}/{name} is a NodePort Service on port {number}; nodes' outside addresses are not "
            "known here.",
            f"Say where it is reachable: --gateway-address=<node-ip>:{number}",
        )
    if service["spec"].get("type") != "LoadBalancer":
        fail(f"The gateway {namespace}/{name} is not a LoadBalancer Service, so it has no outside address.", advice)

    def ready() -> str | None:
        status = client.get(SERVICES, name, namespace).get("status") or {}
        entries = (status.get("loadBalancer") or {}).get("ingress") or []
        return ",".join(str(entry.get("ip") or entry.get("hostname")) for entry in entries) or None

    hosts = _eventually(ready, f"the load balancer address of Service {namespace}/{name}")
    if hosts is None:
        fail(
            f"The load balancer of the gateway {namespace}/{name} has no address yet.",
            f"Wait until `kubectl -n {namespace} get svc {name}` shows an EXTERNAL-IP, and link again. {advice}",
        )
    return hosts, str(port) if port else _service_port(service, outside=False)


def _service_port(service: Object, *, outside: bool) -> str:
    """The gateway's port; the node's port where `outside` and the Service has one for nodes."""
    ports = service["spec"].get("ports") or []
    chosen = next((port for port in ports if port.get("name") == "mc-gateway"), ports[0] if ports else {})
    if outside and service["spec"].get("type") == "NodePort":
        return str(chosen.get("nodePort") or names.GATEWAY_PORT)
    return str(chosen.get("port") or names.GATEWAY_PORT)


def _server(client: "SyncClient", given: str | None) -> str:
    """Where the other cluster reaches this API server: a loopback address would be its own."""
    if given:
        return given if "://" in given else f"https://{given}"
    url = urlsplit(client.url)
    if not _loopback(url.hostname or ""):
        return client.url
    where = _published_server(client)
    if where is None:
        fail(
            f"{client.url} is only reachable from this machine, and the cluster publishes no other address.",
            "Give the address that the other cluster can reach with --api-server-address=https://<host>:<port>.",
        )
    server = urlunsplit((url.scheme, where, url.path, "", ""))
    click.echo(
        f"note: {client.url} is only reachable from this machine; the Link uses {server}. "
        "Use --api-server-address for another address.",
        err=True,
    )
    return server


def _published_server(client: "SyncClient") -> str | None:
    """Host and port of the API server as its own cluster knows them."""
    for item in client.list(SLICES, "default", labels=f"{names.SERVICE_NAME_LABEL}=kubernetes"):
        addresses = [address for endpoint in item.get("endpoints") or [] for address in endpoint["addresses"]]
        ports = [port["port"] for port in item.get("ports") or []]
        if addresses and ports:
            host = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
            return f"{host}:{ports[0]}"
    return None


def _loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
