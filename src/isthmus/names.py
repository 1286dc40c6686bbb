"""Every name the outside world sees: labels, annotations, ports, namespaces, well-known objects.

Linkerd's names are used wherever Linkerd has one, so that its documentation, dashboards and habits keep working. Names
that exist only here carry the `isthmus` prefix. This module imports nothing: it is the one module every room may read.
"""

from typing import Final

VERSION: Final = "0.1.0"

# --- namespaces ---------------------------------------------------------------------------------------------------
CONTROL_PLANE_NAMESPACE: Final = "linkerd"
MULTICLUSTER_NAMESPACE: Final = "linkerd-multicluster"
VIZ_NAMESPACE: Final = "linkerd-viz"

# --- control plane objects ----------------------------------------------------------------------------------------
CONFIG_MAP: Final = "linkerd-config"
"""ConfigMap with the installation's values as YAML under the key `values`."""
TRUST_ROOTS_CONFIG_MAP: Final = "linkerd-identity-trust-roots"
TRUST_ROOTS_KEY: Final = "ca-bundle.crt"
TRUST_DOMAIN_KEY: Final = "trust-domain"
"""Second key of the trust roots ConfigMap: the SPIFFE trust domain those roots speak for."""
LINEAGE_KEY: Final = "lineage"
"""Third key of the trust roots ConfigMap, after a rotation: what proves that today's roots follow from the first."""
RETIRING_ROOTS_ANNOTATION: Final = "identity.isthmus.io/retiring-roots"
"""On the trust roots ConfigMap during a rotation: fingerprints of the roots that its last step drops."""
REMOTE_ENDPOINTS_CONFIG_MAP: Final = "linkerd-destination-remote-endpoints"
"""What linked clusters said last, for a destination that starts while they are away."""
IDENTITY_ISSUER_SECRET: Final = "linkerd-identity-issuer"
INJECTOR_TLS_SECRET: Final = "linkerd-proxy-injector-k8s-tls"
INJECTOR_WEBHOOK: Final = "linkerd-proxy-injector-webhook-config"

IDENTITY_SERVICE: Final = "linkerd-identity"
DESTINATION_SERVICE: Final = "linkerd-dst"
INJECTOR_SERVICE: Final = "linkerd-proxy-injector"
IDENTITY_DEPLOYMENT: Final = "linkerd-identity"
DESTINATION_DEPLOYMENT: Final = "linkerd-destination"
INJECTOR_DEPLOYMENT: Final = "linkerd-proxy-injector"

# --- multicluster objects -----------------------------------------------------------------------------------------
GATEWAY: Final = "linkerd-gateway"
MULTICLUSTER_CONTROLLER: Final = "linkerd-multicluster-controller"
REMOTE_ACCESS_ACCOUNT: Final = "linkerd-service-mirror-remote-access-default"
CREDENTIALS_SECRET_PREFIX: Final = "cluster-credentials-"
CREDENTIALS_SECRET_TYPE: Final = "mirror.linkerd.io/remote-kubeconfig"
CREDENTIALS_KEY: Final = "kubeconfig"
LINK_GROUP: Final = "multicluster.linkerd.io"
LINK_VERSION: Final = "v1alpha3"
SPLIT_GROUP: Final = "split.smi-spec.io"
SPLIT_VERSION: Final = "v1alpha2"
"""The version that is stored and read: the last one that other tools' definitions serve, too."""
ROUTE_GROUPS: Final = ("gateway.networking.k8s.io", "policy.linkerd.io")
"""Whose HTTPRoutes are read, where a cluster has their definitions."""
ROUTE_CONTROLLER: Final = "linkerd.io/policy-controller"
"""Under which name it is said in their status whether they are used."""
FEDERATION_GROUP: Final = "federation.isthmus.io"
FEDERATION_VERSION: Final = "v1alpha1"
LINK_FINALIZER: Final = "multicluster.isthmus.io/link"
LINK_NAME_PREFIX: Final = "linkerd-"
"""`multicluster link --cluster-name east` names its Link `linkerd-east`, as the tutorial does."""
RENEW_ANNOTATION: Final = "multicluster.isthmus.io/renew"
"""On a Link's Secret: `false` leaves its token alone, for whoever writes the Secret by other means."""
PROBE_SERVICE_PREFIX: Final = "probe-"

# --- viz objects --------------------------------------------------------------------------------------------------
VIZ_METRICS_API: Final = "metrics-api"
VIZ_PROMETHEUS: Final = "prometheus"
VIZ_WEB: Final = "web"

# --- ports --------------------------------------------------------------------------------------------------------
INBOUND_PORT: Final = 4143
OUTBOUND_PORT: Final = 4140
ADMIN_PORT: Final = 4191
"""The proxy's /ready, /live and /metrics."""
CONTROL_PORT: Final = 4190
"""Reserved, as Linkerd's tap port; never redirected."""
ENVOY_ADMIN_PORT: Final = 4192
"""Envoy's own admin interface, on 127.0.0.1 in the pod only."""
GATEWAY_PORT: Final = 4143
GATEWAY_PROBE_PORT: Final = 4191
IDENTITY_PORT: Final = 8080
DESTINATION_PORT: Final = 8086
INJECTOR_PORT: Final = 8443
CONTROLLER_ADMIN_PORT: Final = 9990
"""/ready, /live and /metrics of every control-plane process."""
DEFAULT_OPAQUE_PORTS: Final = (25, 587, 3306, 4444, 5432, 6379, 9300, 11211)
DEFAULT_SKIPPED_PORTS: Final = (4567, 4568)
"""Galera, whose peers speak first: not redirected to the proxy where no annotation says otherwise, as with Linkerd."""
NEVER_REDIRECTED_PORTS: Final = (CONTROL_PORT, ADMIN_PORT)
SWITCHED_ON: Final = ("true", "enabled")
"""The values that turn an on-off annotation on."""
REQUEST_APP_PROTOCOLS: Final = frozenset({"http", "http2", "grpc", "kubernetes.io/h2c", "kubernetes.io/ws"})
"""Values of a Service port's `appProtocol` that promise HTTP and nothing else."""

# --- containers ---------------------------------------------------------------------------------------------------
PROXY_CONTAINER: Final = "linkerd-proxy"
INIT_CONTAINER: Final = "linkerd-init"
PROXY_UID: Final = 2102
IDENTITY_VOLUME: Final = "linkerd-identity-end-entity"
IDENTITY_DIR: Final = "/var/run/linkerd/identity/end-entity"
CERTIFICATE_FILE: Final = "certificate.pem"
"""In the identity directory: the workload's certificate and its intermediates, without the key."""
TOKEN_VOLUME: Final = "linkerd-identity-token"
TOKEN_DIR: Final = "/var/run/secrets/tokens"
TOKEN_FILE: Final = "linkerd-identity-token"
TOKEN_AUDIENCE: Final = "identity.l5d.io"
DEFAULT_REGISTRY: Final = "localhost/isthmus"
"""Images are `<registry>/controller`, `/proxy`, `/proxy-init` and `/pause`, tagged with VERSION."""
CONTROLLER_IMAGE: Final = "controller"
PROXY_IMAGE: Final = "proxy"
INIT_IMAGE: Final = "proxy-init"
PAUSE_IMAGE: Final = "pause"

# --- labels and annotations ---------------------------------------------------------------------------------------
INJECT_ANNOTATION: Final = "linkerd.io/inject"
CONTROL_PLANE_NS_LABEL: Final = "linkerd.io/control-plane-ns"
WORKLOAD_NS_LABEL: Final = "linkerd.io/workload-ns"
COMPONENT_LABEL: Final = "linkerd.io/control-plane-component"
EXTENSION_LABEL: Final = "linkerd.io/extension"
PROXY_OWNER_LABEL_PREFIX: Final = "linkerd.io/proxy-"
CREATED_BY_ANNOTATION: Final = "linkerd.io/created-by"
PROXY_VERSION_ANNOTATION: Final = "linkerd.io/proxy-version"
TRUST_ROOT_HASH_ANNOTATION: Final = "linkerd.io/trust-root-sha256"
CONFIG_PREFIX: Final = "config.linkerd.io/"
OPAQUE_PORTS_ANNOTATION: Final = "config.linkerd.io/opaque-ports"
SKIP_INBOUND_PORTS_ANNOTATION: Final = "config.linkerd.io/skip-inbound-ports"
SKIP_OUTBOUND_PORTS_ANNOTATION: Final = "config.linkerd.io/skip-outbound-ports"
ACCESS_LOG_ANNOTATION: Final = "config.linkerd.io/access-log"
ENABLE_GATEWAY_ANNOTATION: Final = "config.linkerd.io/enable-gateway"
ADMISSION_WEBHOOKS_LABEL: Final = "config.linkerd.io/admission-webhooks"

EXPORTED: Final = "mirror.linkerd.io/exported"
"""Label or annotation on a Service: `true` exports it through the gateway."""
PRIMARY_ANNOTATION: Final = "failover.linkerd.io/primary-service"
"""On a TrafficSplit or an HTTPRoute: this backend gets the traffic, the others stand by in the order written."""
SPILL_BELOW_ANNOTATION: Final = "failover.isthmus.io/spill-below"
"""On a TrafficSplit, an HTTPRoute or a federated Service: percent of a group's endpoints that must be ready."""
TRACING_COLLECTOR_ANNOTATION: Final = "config.isthmus.io/tracing-collector"
"""On a pod, by the injector: where its proxy sends spans."""
TRACING_SAMPLING_ANNOTATION: Final = "config.isthmus.io/tracing-sampling"
"""On a pod or its namespace: percent of the traces that begin at the pod, or `off` for no spans."""
MIRROR_PREFIX: Final = "mirror.linkerd.io"
DISCOVERY_PREFIX: Final = "multicluster.linkerd.io/"
REMOTE_DISCOVERY: Final = "multicluster.linkerd.io/remote-discovery"
"""Label of a flat mirror: its cluster. Annotation of a federated Service: its members elsewhere, `svc@c1,svc@c2`."""
REMOTE_SERVICE_LABEL: Final = "multicluster.linkerd.io/remote-service"
"""Label of a flat mirror: the Service's name in its own cluster."""
LOCAL_DISCOVERY_ANNOTATION: Final = "multicluster.linkerd.io/local-discovery"
"""Annotation of a federated Service: its member in this cluster."""
SOURCE_ANNOTATION: Final = "multicluster.isthmus.io/source"
"""Annotation of a federated Service: the member that its ports and metadata are taken from, and its version."""
FEDERATED: Final = "mirror.linkerd.io/federated"
"""Label or annotation on a Service: `member` joins it into `<service>-federated` of every cluster that links here."""
HEADLESS_MIRROR_LABEL: Final = "mirror.linkerd.io/headless-mirror-svc-name"
"""Label of the mirror of one pod of a headless Service: the mirror of that Service."""
MIRRORED_SERVICE_LABEL: Final = "mirror.linkerd.io/mirrored-service"
MIRRORED_GATEWAY_LABEL: Final = "mirror.linkerd.io/mirrored-gateway"
CLUSTER_NAME_LABEL: Final = "mirror.linkerd.io/cluster-name"
REMOTE_SERVICE_FQN_ANNOTATION: Final = "mirror.linkerd.io/remote-svc-fq-name"
REMOTE_RESOURCE_VERSION_ANNOTATION: Final = "mirror.linkerd.io/remote-resource-version"
REMOTE_GATEWAY_IDENTITY_ANNOTATION: Final = "mirror.linkerd.io/remote-gateway-identity"
GATEWAY_IDENTITY_ANNOTATION: Final = "mirror.linkerd.io/gateway-identity"
MIRROR_MANAGER: Final = "multicluster.isthmus.io"
"""Value of the managed-by label of the EndpointSlices of mirrors."""
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
MANAGED_BY_LABEL: Final = "endpointslice.kubernetes.io/managed-by"

# --- request headers ----------------------------------------------------------------------------------------------
CLIENT_ID_HEADER: Final = "l5d-client-id"
"""Set by the server's proxy on every request: the client's SPIFFE ID as its certificate proved it."""
SERVER_ID_HEADER: Final = "l5d-server-id"
"""Set by the client's proxy on every answer of a meshed server: the server's SPIFFE ID as its certificate proved it."""
PROXY_ERROR_HEADER: Final = "l5d-proxy-error"
"""On replies a proxy made itself, never on the application's: the reason in words."""
ORIGINAL_PROTOCOL_HEADER: Final = "l5d-orig-proto"
"""Between proxies only: the protocol the client spoke, restored towards the application."""
DESTINATION_HEADER: Final = "l5d-dst-override"
"""Inside one proxy only: the cluster that the catch-all route takes. Written over and stripped there."""

# --- xDS resource names -------------------------------------------------------------------------------------------
OUTBOUND_CLUSTER_PREFIX: Final = "outbound/"
"""`outbound/10.96.0.5:8080`: what a pod reaches at an original destination. Asked by the outbound listener only."""
EXPORT_CLUSTER_PREFIX: Final = "export/"
"""`export/10.244.0.7:8080`: an endpoint of an exported service. Asked by a gateway only, which writes the prefix."""
GATEWAY_CLUSTER_PREFIX: Final = "gateway/"
"""`gateway/cluster-east`: the gateway addresses of a linked cluster. Asked by the tunnel listener only."""
TRUST_OUTBOUND_SECRET: Final = "trust/outbound"
"""SDS: bundles by trust domain that vouch for servers: this cluster's and those of the clusters it links to."""
ISSUER_COMMENT: Final = "# issuer "
CLUSTER_COMMENT: Final = "# cluster "
"""Begins the line before the own roots in `trust/inbound` that says who signs certificates now."""
TRUST_INBOUND_SECRET: Final = "trust/inbound"
"""SDS: bundles that vouch for clients: this cluster's and, for gateways and exported pods, the linking ones."""
WORKLOAD_CERTIFICATE_SECRET: Final = "workload"
"""SDS from the agent in the pod: the workload's certificate and key."""
MESH_SNI_SUFFIX: Final = "mesh.isthmus.internal"
"""Inbound mesh TLS is told from the application's own TLS by this suffix of its SNI."""
GATEWAY_SNI: Final = "gateway.mesh.isthmus.internal"


# --- workload identities ------------------------------------------------------------------------------------------
def spiffe_id(trust_domain: str, namespace: str, service_account: str) -> str:
    """The first name in every workload certificate."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


def identity_name(trust_domain: str, namespace: str, service_account: str) -> str:
    """The second name in every workload certificate: Linkerd's name for the same account."""
    return f"{service_account}.{namespace}.serviceaccount.identity.{CONTROL_PLANE_NAMESPACE}.{trust_domain}"
