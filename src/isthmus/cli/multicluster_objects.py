"""What a cluster is given to reach another: the Secret with the credentials, and the Link that names it."""

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Final

import click
import yaml

from isthmus import names
from isthmus.kube.kinds import Object

SELECTORS: Final = {
    "selector": f"{names.EXPORTED}=true",
    "remote_discovery_selector": f"{names.EXPORTED}=remote-discovery",
    "federated_service_selector": f"{names.MIRROR_PREFIX}/federated=member",
}
"""Which services are mirrored in which way, unless a flag says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The cluster that is linked to: everything that the linking cluster must know."""

    name: str
    domain: str
    linkerd_namespace: str
    namespace: str
    trust_domain: str
    trust_bundle: str
    server: str
    authority: str
    gateway_addresses: str
    gateway_port: str
    gateway_service: str
    gateway_identity: str
    probe_period: str
    probe_path: str
    account: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which services are mirrored, and what mirrors do not copy."""

    selector: Object
    remote_discovery_selector: Object
    federated_service_selector: Object
    excluded_labels: tuple[str, ...] = ()
    excluded_annotations: tuple[str, ...] = ()


def chosen(*, excluded_labels: str, excluded_annotations: str, **selectors: str | None) -> Choice:
    """From the texts of the flags; None is the default."""
    parsed = {
        name: parse_selector(
            default if selectors[name] is None else str(selectors[name]), "--" + name.replace("_", "-")
        )
        for name, default in SELECTORS.items()
    }
    return Choice(
        excluded_labels=tuple(parts(excluded_labels)), excluded_annotations=tuple(parts(excluded_annotations)), **parsed
    )


def parts(text: str) -> list[str]:
    """A comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_selector(text: str, flag: str = "--selector") -> Object:
    """A label selector as kubectl writes them: `a=b,c!=d,e,!f,g in (h,i)`. Nothing selects nothing."""
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for part in re.split(r",(?![^(]*\))", text) if text.strip() else ():
        term = part.strip()
        if found := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", term):
            operator = "In" if found[2] == "in" else "NotIn"
            expressions.append({"key": found[1], "operator": operator, "values": parts(found[3])})
        elif found := re.fullmatch(r"([^\s!=]+)\s*!=\s*(\S*)", term):
            expressions.append({"key": found[1], "operator": "NotIn", "values": [found[2]]})
        elif found := re.fullmatch(r"([^\s!=]+)\s*==?\s*([^\s=]*)", term):
            labels[found[1]] = found[2]
        elif found := re.fullmatch(r"(!?)([^\s!=]+)", term):
            expressions.append({"key": found[2], "operator": "DoesNotExist" if found[1] else "Exists"})
        else:
            raise click.BadParameter(f'"{text}" is not a label selector', param_hint=flag)
    made: Object = {}
    if labels:
        made["matchLabels"] = labels
    if expressions:
        made["matchExpressions"] = expressions
    return made


def objects(target: Target, choice: Choice, *, link_name: str = "") -> list[Object]:
    """The credentials, and the Link that names them."""
    return [secret(target), link(target, choice, name=link_name or f"{names.LINK_NAME_PREFIX}{target.name}")]


def secret(target: Target) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": names.CREDENTIALS_SECRET_TYPE,
        "metadata": {"name": f"{names.CREDENTIALS_SECRET_PREFIX}{target.name}", "namespace": target.namespace},
        "data": {names.CREDENTIALS_KEY: base64.b64encode(kubeconfig(target).encode()).decode()},
    }


def link(target: Target, choice: Choice, *, name: str) -> Object:
    excluded = {"excludedLabels": choice.excluded_labels, "excludedAnnotations": choice.excluded_annotations}
    return {
        "apiVersion": f"{names.LINK_GROUP}/{names.LINK_VERSION}",
        "kind": "Link",
        "metadata": {
            "name": name,
            "namespace": target.namespace,
            "annotations": {names.CREATED_BY_ANNOTATION: f"linkerd/cli {names.VERSION}"},
        },
        "spec": {
            "targetClusterName": target.name,
            "targetClusterDomain": target.domain,
            "targetClusterLinkerdNamespace": target.linkerd_namespace,
            "clusterCredentialsSecret": f"{names.CREDENTIALS_SECRET_PREFIX}{target.name}",
            "gatewayAddress": target.gateway_addresses,
            "gatewayPort": target.gateway_port,
            **({"gatewayService": target.gateway_service} if target.gateway_service else {}),
            "gatewayIdentity": target.gateway_identity,
            "probeSpec": {
                "path": target.probe_path,
                "port": str(names.GATEWAY_PROBE_PORT),
                "period": target.probe_period,
            },
            "selector": choice.selector,
            "remoteDiscoverySelector": choice.remote_discovery_selector,
            "federatedServiceSelector": choice.federated_service_selector,
            "targetTrustDomain": target.trust_domain,
            "targetTrustBundle": target.trust_bundle,
            **{field: list(patterns) for field, patterns in excluded.items() if patterns},
        },
    }


def kubeconfig(target: Target) -> str:
    """A kubeconfig with everything inside."""
    cluster = {"server": target.server}
    if target.authority:
        cluster["certificate-authority-data"] = target.authority
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": target.name, "cluster": cluster}],
        "users": [{"name": target.account, "user": {"token": target.token}}],
        "contexts": [{"name": target.name, "context": {"cluster": target.name, "user": target.account}}],
        "current-context": target.name,
    }
    return yaml.safe_dump(config, sort_keys=False)
