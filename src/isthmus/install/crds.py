"""Custom resource definitions as data: Linkerd's Link, and what a Link needs that Linkerd has no object for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from isthmus import names
from isthmus.install.workloads import Manifest
from isthmus.resources.splits import WEIGHT_LIMIT, WEIGHT_PATTERN

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
LINK_VERSIONS: Final = ("v1alpha1", "v1alpha2", "v1alpha3")
SPLIT_VERSIONS: Final = ("v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4")
MAX_BUNDLE: Final = 65536
"""Roots of one trust domain, in bytes of PEM; some fifty certificates."""


def text(description: str, **limits: Any) -> Schema:
    return {"type": "string", "description": description, **limits}


def array(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def record(properties: Mapping[str, Schema], *, required: Sequence[str] = (), description: str = "") -> Schema:
    made: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        made["required"] = list(required)
    return made | ({"description": description} if description else {})


def label_selector(description: str) -> Schema:
    return record(
        {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "matchExpressions": array(
                record(
                    {"key": STRING, "operator": STRING, "values": array(STRING)},
                    required=["key", "operator"],
                )
            ),
        },
        description=description,
    )


CONDITION: Final = record(
    {
        "type": STRING,
        "status": STRING,
        "reason": STRING,
        "message": STRING,
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "lastProbeTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer", "format": "int64"},
        "localRef": record({"group": STRING, "kind": STRING, "name": STRING, "namespace": STRING}),
    },
    required=["type", "status"],
)

MIRRORED_SERVICE: Final = record(
    {
        "conditions": array(CONDITION),
        "controllerName": STRING,
        "remoteRef": record({"group": STRING, "kind": STRING, "name": STRING, "namespace": STRING}),
    },
    required=["remoteRef"],
)

PROBE_SPEC: Final = record(
    {
        "path": text("Path of the request, /ready."),
        "port": text("Port of the probe Service."),
        "period": text("Time between probes, such as 3s."),
        "timeout": text("How long one probe may take.", default="30s"),
        "failureThreshold": text("Probes that fail in a row before the gateway counts as down.", default="3"),
    },
    description="How the target's gateway is probed.",
)

LINK_SPEC: Final = record(
    {
        "targetClusterName": text("Name of the linked cluster: the suffix of every mirror.", minLength=1),
        "targetClusterDomain": text("Cluster domain of the linked cluster.", default="cluster.local"),
        "targetClusterLinkerdNamespace": text("Control-plane namespace of the linked cluster.", default="linkerd"),
        "clusterCredentialsSecret": text("Secret beside the Link whose key `kubeconfig` leads to the linked cluster."),
        "gatewayAddress": text(
            "Comma-separated IP addresses or host names of the gateway, each with or without :port; empty: no gateway."
        ),
        "gatewayPort": text("Port of the gateway, for addresses that have none of their own."),
        "gatewayService": text(
            "Service of the linked cluster, <namespace>/<name>, whose load balancer's addresses count instead of "
            "gatewayAddress, whenever they change; empty: gatewayAddress stays as it is."
        ),
        "gatewayIdentity": text("Name that the gateway proves with its certificate."),
        "probeSpec": PROBE_SPEC,
        "selector": label_selector("Services mirrored through the gateway. Empty selects nothing."),
        "remoteDiscoverySelector": label_selector("Services reached from pod to pod. Empty selects nothing."),
        "federatedServiceSelector": label_selector("Services that join a federated service. Empty selects nothing."),
        "excludedAnnotations": array(STRING, "Annotations that mirrors do not copy: exact, or prefix/*."),
        "excludedLabels": array(STRING, "Labels that mirrors do not copy: exact, or prefix/*."),
        "targetTrustDomain": text("SPIFFE trust domain of the linked cluster when the Link was made."),
        "targetTrustBundle": text(
            "PEM roots of the linked cluster when the Link was made: live ones that share one with these are accepted.",
            maxLength=MAX_BUNDLE,
        ),
    },
    required=["targetClusterName"],
)

GATEWAY: Final = record(
    {
        "address": text("IP address and port."),
        "name": text("The DNS name that it comes from."),
        "alive": text("Whether it answers: True, False or Unknown."),
        "latency": text("Round trip of a recent probe."),
        "probePort": {
            "type": "integer",
            "description": "Port of the probe Service that leads to this address alone.",
        },
    },
    required=["address"],
)

LINK_STATUS: Final = record(
    {
        "conditions": array(CONDITION),
        "mirrorServices": array(MIRRORED_SERVICE),
        "federatedServices": array(MIRRORED_SERVICE),
        "trustDomain": text("The linked cluster's trust domain, as last read from it and accepted."),
        "trustBundle": text("The linked cluster's PEM roots, as last read from it and accepted."),
        "registeredTrustDomain": text("The own trust domain as registered in the linked cluster."),
        "registeredRoots": text("Fingerprints of the own roots that the linked cluster accepts."),
        "credentialsExpireAt": text("When the credentials expire; empty when they do not. They are renewed before."),
        "gatewayAddress": text("Where the gateway is: as given, or as its Service says now."),
        "gateways": array(GATEWAY, "Every IP address of the gateway, and whether it answers."),
        "alive": text("Whether the gateway answers: True, False or Unknown."),
        "latency": text("Round trip of the last successful probe."),
        "services": text("Services mirrored, of those exported to this cluster."),
        "ready": text("Whether everything about this link works: True or False."),
        "reason": text("Why, in one word."),
    }
)


def column(name: str, path: str, *, kind: str = "string", priority: int = 0, description: str = "") -> Schema:
    made: Schema = {"name": name, "type": kind, "jsonPath": path}
    if priority:
        made["priority"] = priority
    return made | ({"description": description} if description else {})


AGE: Final = column("Age", ".metadata.creationTimestamp", kind="date")

LINK_COLUMNS: Final = [
    column("Target", ".spec.targetClusterName"),
    column("Gateway", ".status.gatewayAddress", description="Where the gateway is now"),
    column("Alive", ".status.alive", description="Whether the gateway answers probes"),
    column("Services", ".status.services", description="Mirrored / exported"),
    column("Ready", ".status.ready"),
    column("Reason", ".status.reason"),
    column("Latency", ".status.latency", priority=1),
    column("Trust-Domain", ".status.trustDomain", priority=1),
    column("Credentials-Expire", ".status.credentialsExpireAt", priority=1),
    AGE,
]

TRUST_SPEC: Final = record(
    {
        "trustDomain": text("SPIFFE trust domain that the bundle vouches for.", minLength=1, maxLength=255),
        "bundle": text("PEM roots of that domain.", minLength=1, maxLength=MAX_BUNDLE),
        "clusterName": text("How the registering cluster names the link that this registration belongs to."),
        "lineage": text(
            "PEM certificates that prove that these roots follow from the one that the domain is named after.",
            maxLength=MAX_BUNDLE,
        ),
        "acceptedRoots": text("Fingerprints of this cluster's roots that the registering cluster accepts."),
    },
    required=["trustDomain", "bundle"],
)

TRUST_COLUMNS: Final = [
    column("Trust-Domain", ".spec.trustDomain"),
    column("Accepted", ".status.accepted"),
    column("Reason", ".status.reason"),
    AGE,
]


def version(
    name: str, *, spec: Schema, status: Schema | None, columns: Sequence[Schema], storage: bool, required: bool = True
) -> Schema:
    """One served version. Its schema is structural, so unknown fields are pruned as in any other object."""
    properties = {"spec": spec} | ({"status": status} if status else {})
    root = record(
        {"apiVersion": STRING, "kind": STRING, "metadata": {"type": "object"}, **properties},
        required=["spec"] if required else (),
    )
    made: Schema = {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": root},
        "additionalPrinterColumns": list(columns),
    }
    if status:
        made["subresources"] = {"status": {}}
    return made


SPLIT_SPEC: Final = record(
    {
        "service": text("Service that clients call, in the namespace of the split.", minLength=1),
        "backends": {
            **array(
                record(
                    {
                        "service": text(
                            "Service of the same namespace; may be the one that clients call.", minLength=1
                        ),
                        "weight": {
                            "description": "Share of the traffic. 0: a standby, used when nobody before it answers.",
                            "x-kubernetes-int-or-string": True,
                            "anyOf": [{"type": "integer"}, {"type": "string"}],
                            "minimum": 0,
                            "maximum": WEIGHT_LIMIT,
                            "pattern": WEIGHT_PATTERN,
                        },
                    },
                    required=["service", "weight"],
                ),
                "Those with a weight share the traffic; those without stand by, in this order.",
            ),
            "minItems": 1,
            "maxItems": 64,
        },
        "matches": {
            **array(
                record({"kind": STRING, "name": STRING, "apiGroup": STRING}),
                "Not supported: a split that is for some requests only is refused, not applied to all.",
            ),
            "maxItems": 0,
        },
    },
    required=["service", "backends"],
)

SPLIT_COLUMNS: Final = [
    column("Service", ".spec.service", description="The service that clients call"),
    AGE,
]


def definition(
    kind: str,
    plural: str,
    *,
    group: str,
    versions: Sequence[Schema],
    short_names: Sequence[str] = (),
    extension: str = "multicluster",
) -> Manifest:
    """A namespaced CustomResourceDefinition without conversion: its versions share one shape."""
    kinds: dict[str, Any] = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    if short_names:
        kinds["shortNames"] = list(short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "labels": {names.EXTENSION_LABEL: extension} if extension else {},
            "annotations": {names.CREATED_BY_ANNOTATION: f"isthmus/cli {names.VERSION}"},
        },
        "spec": {"group": group, "scope": "Namespaced", "names": kinds, "versions": list(versions)},
    }


def link() -> Manifest:
    """Linkerd's Link: v1alpha3 is stored; the versions before it are served for manifests made by older tools.

    Every version has the status subresource: the controller writes through v1alpha3 whatever version was applied.
    """
    return definition(
        "Link",
        "links",
        group=names.LINK_GROUP,
        versions=[
            version(name, spec=LINK_SPEC, status=LINK_STATUS, columns=LINK_COLUMNS, storage=name == names.LINK_VERSION)
            for name in LINK_VERSIONS
        ],
    )


def federated_trust_domain() -> Manifest:
    """A linking cluster's roots, registered in the cluster it links to: lets its workloads be recognised there."""
    status = record(
        {
            "conditions": array(CONDITION),
            "accepted": text("Whether the registration counts as it stands: True or False."),
            "reason": text("Why, in one word."),
            "trustDomain": text("The trust domain that proxies recognise because of this registration."),
            "bundle": text("The PEM roots that vouch for it: the last ones that were accepted."),
        }
    )
    return definition(
        "FederatedTrustDomain",
        "federatedtrustdomains",
        group=names.FEDERATION_GROUP,
        versions=[
            version(names.FEDERATION_VERSION, spec=TRUST_SPEC, status=status, columns=TRUST_COLUMNS, storage=True)
        ],
        short_names=["ftd"],
    )


def traffic_split() -> Manifest:
    """SMI's TrafficSplit, in every version that was published.

    All share one schema, so that what was written in one can be changed through another: a weight may be a number or,
    as in v1alpha1, a quantity. A malformed one is refused when it is applied, for a split has no status to tell it in.
    """
    return definition(
        "TrafficSplit",
        "trafficsplits",
        group=names.SPLIT_GROUP,
        versions=[
            version(name, spec=SPLIT_SPEC, status=None, columns=SPLIT_COLUMNS, storage=name == names.SPLIT_VERSION)
            for name in SPLIT_VERSIONS
        ],
        short_names=["ts"],
        extension="",
    )


def control_plane() -> list[Manifest]:
    """The definitions that `linkerd install` prints."""
    return [*multicluster(), traffic_split()]


def multicluster() -> list[Manifest]:
    """The definitions that `linkerd install` and `linkerd multicluster install` both print."""
    return [link(), federated_trust_domain()]
