"""What `linkerd install` prints: the control plane as a list of Kubernetes objects, in the order to apply them."""

from collections.abc import Sequence

from isthmus import names
from isthmus.install import crds, rbac
from isthmus.install.template import When, emit, encoded, prune, when
from isthmus.install.values import InstallValues
from isthmus.install.workloads import (
    Component,
    Manifest,
    Placement,
    deployment,
    disruption_budget,
    identity_token_volume,
    secret_volume,
    service,
    service_account,
    trust_roots_volume,
)

NAMESPACE = names.CONTROL_PLANE_NAMESPACE


def manifests(values: InstallValues) -> list[Manifest]:
    """The whole control plane. Pure: equal values give equal objects."""
    made: list[Manifest] = prune(objects(values))
    return made


def objects(values: InstallValues) -> list[Manifest | When]:
    """The same as it depends on values: what is conditional is marked as such where the values are lookups."""
    components = (_identity(values), _destination(values), _injector(values))
    return [
        _namespace(),
        *crds.control_plane(),
        *(service_account(component.name, namespace=NAMESPACE) for component in components),
        *rbac.control_plane(),
        *_configuration(values),
        *_services(*components),
        *(deployment(component, namespace=NAMESPACE) for component in components),
        *(
            when(values.enable_pod_disruption_budget, disruption_budget(component, namespace=NAMESPACE))
            for component in components
        ),
        _webhook(values),
    ]


def _namespace() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "annotations": {names.INJECT_ANNOTATION: "disabled"},
            "labels": {
                "linkerd.io/is-control-plane": "true",
                names.ADMISSION_WEBHOOKS_LABEL: "disabled",
                names.CONTROL_PLANE_NS_LABEL: NAMESPACE,
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    }


def _configuration(values: InstallValues) -> list[Manifest]:
    certificates = values.certificates
    return [
        _config_map(names.CONFIG_MAP, {"values": emit(values.public())}),
        _config_map(
            names.TRUST_ROOTS_CONFIG_MAP,
            {
                names.TRUST_ROOTS_KEY: certificates.trust_anchors,
                names.TRUST_DOMAIN_KEY: certificates.trust_domain,
            },
        ),
        _written_by_destination(names.REMOTE_ENDPOINTS_CONFIG_MAP),
        _tls_secret(names.IDENTITY_ISSUER_SECRET, certificates.issuer_certificate, certificates.issuer_key),
        _tls_secret(names.INJECTOR_TLS_SECRET, certificates.webhook_certificate, certificates.webhook_key),
    ]


def _config_map(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name, "controller"), "data": data}


def _written_by_destination(name: str) -> Manifest:
    """Without data, so that to apply it again takes nothing away."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name, "destination")}


def _tls_secret(name: str, certificate: str, key: str) -> Manifest:
    data = {"tls.crt": certificate, "tls.key": key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(name, "identity"),
        "type": "kubernetes.io/tls",
        "data": {file: encoded(pem) for file, pem in data.items()},
    }


def _metadata(name: str, component: str) -> Manifest:
    return {
        "name": name,
        "namespace": NAMESPACE,
        "labels": {names.COMPONENT_LABEL: component, names.CONTROL_PLANE_NS_LABEL: NAMESPACE},
    }


def _component(values: InstallValues, **fields: object) -> Component:
    return Component(
        image=values.image(names.CONTROLLER_IMAGE),
        image_pull_policy=values.image_pull_policy,
        replicas=values.controller_replicas,
        placement=Placement(
            node_selector=values.node_selector,
            tolerations=values.tolerations,
            priority_class_name=values.priority_class_name,
            image_pull_secrets=values.image_pull_secrets,
            annotations=values.pod_annotations,
            labels=values.pod_labels,
            strategy=values.deployment_strategy,
            spread=values.enable_pod_anti_affinity,
        ),
        **fields,  # type: ignore[arg-type]
    )


def _identity(values: InstallValues) -> Component:
    roots, roots_mount = trust_roots_volume()
    issuer, issuer_mount = secret_volume(
        "issuer", secret=names.IDENTITY_ISSUER_SECRET, path="/var/run/linkerd/identity/issuer"
    )
    return _component(
        values,
        name=names.IDENTITY_DEPLOYMENT,
        component="identity",
        args=(
            "identity",
            f"--namespace={NAMESPACE}",
            f"--cluster-domain={values.cluster_domain}",
            f"--trust-domain={values.certificates.trust_domain}",
            f"--issuance-lifetime={values.issuance_lifetime}",
            f"--clock-skew-allowance={values.clock_skew_allowance}",
            f"--log-level={values.controller_log_level}",
        ),
        ports={"ident-https": names.IDENTITY_PORT},
        resources=values.identity_resources,
        volumes=(roots, issuer),
        mounts=(roots_mount, issuer_mount),
    )


def _destination(values: InstallValues) -> Component:
    roots, roots_mount = trust_roots_volume()
    token, token_mount = identity_token_volume()
    return _component(
        values,
        name=names.DESTINATION_DEPLOYMENT,
        component="destination",
        args=(
            "destination",
            f"--namespace={NAMESPACE}",
            f"--cluster-domain={values.cluster_domain}",
            f"--trust-domain={values.certificates.trust_domain}",
            f"--cluster-network={values.cluster_networks}",
            f"--log-level={values.controller_log_level}",
        ),
        ports={"dest-grpc": names.DESTINATION_PORT},
        resources=values.destination_resources,
        volumes=(roots, token),
        mounts=(roots_mount, token_mount),
    )


def _injector(values: InstallValues) -> Component:
    roots, roots_mount = trust_roots_volume()
    tls, tls_mount = secret_volume("tls", secret=names.INJECTOR_TLS_SECRET, path="/var/run/linkerd/tls")
    return _component(
        values,
        name=names.INJECTOR_DEPLOYMENT,
        component="proxy-injector",
        args=(
            "proxy-injector",
            f"--namespace={NAMESPACE}",
            f"--cluster-domain={values.cluster_domain}",
            f"--trust-domain={values.certificates.trust_domain}",
            f"--registry={values.registry}",
            f"--version={values.version}",
            f"--image-pull-policy={values.image_pull_policy}",
            f"--proxy-log-level={values.proxy_log_level}",
            f"--proxy-cpu-request={values.proxy_resources.cpu_request}",
            f"--proxy-cpu-limit={values.proxy_resources.cpu_limit}",
            f"--proxy-memory-request={values.proxy_resources.memory_request}",
            f"--proxy-memory-limit={values.proxy_resources.memory_limit}",
            f"--skip-inbound-ports={values.skip_inbound_ports}",
            f"--skip-outbound-ports={values.skip_outbound_ports}",
            *(
                when(values.tracing_collector, argument)
                for argument in (
                    f"--tracing-collector={values.tracing_collector}",
                    f"--tracing-sampling={values.tracing_sampling}",
                    f"--tracing-cluster-name={values.tracing_cluster_name}",
                )
            ),
            f"--log-level={values.controller_log_level}",
        ),
        ports={"injector-https": names.INJECTOR_PORT},
        resources=values.injector_resources,
        volumes=(roots, tls),
        mounts=(roots_mount, tls_mount),
    )


def _services(identity: Component, destination: Component, injector: Component) -> list[Manifest]:
    return [
        service(
            names.IDENTITY_SERVICE,
            identity,
            namespace=NAMESPACE,
            ports=[("https", names.IDENTITY_PORT, "ident-https")],
        ),
        service(
            names.DESTINATION_SERVICE,
            destination,
            namespace=NAMESPACE,
            ports=[("grpc", names.DESTINATION_PORT, "dest-grpc")],
        ),
        service(names.INJECTOR_SERVICE, injector, namespace=NAMESPACE, ports=[("https", 443, "injector-https")]),
    ]


def _webhook(values: InstallValues) -> Manifest:
    """Pods only; the control plane itself and clusters' own machinery are left alone.

    An application's pod starts without a proxy rather than not at all when the injector is away. A gateway without
    its proxy is nothing, so the pods of the multi-cluster extension wait for the injector.
    """
    name = "kubernetes.io/metadata.name"
    enabled = {"key": names.ADMISSION_WEBHOOKS_LABEL, "operator": "NotIn", "values": ["disabled"]}
    others = ["kube-system", "cert-manager", NAMESPACE, names.MULTICLUSTER_NAMESPACE]
    applications = [enabled, {"key": name, "operator": "NotIn", "values": others}]
    extension = [enabled, {"key": name, "operator": "In", "values": [names.MULTICLUSTER_NAMESPACE]}]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": names.INJECTOR_WEBHOOK,
            "labels": {names.COMPONENT_LABEL: "proxy-injector", names.CONTROL_PLANE_NS_LABEL: NAMESPACE},
        },
        "webhooks": [
            _asking(values, "linkerd-proxy-injector.linkerd.io", applications, failure=values.webhook_failure_policy),
            _asking(values, "linkerd-proxy-injector.multicluster.linkerd.io", extension, failure="Fail"),
        ],
    }


def _asking(values: InstallValues, name: str, where: Sequence[object], *, failure: str) -> dict[str, object]:
    """One entry of the webhook configuration: new pods in the namespaces that match."""
    return {
        "name": name,
        "namespaceSelector": {"matchExpressions": where},
        "clientConfig": {
            "service": {"name": names.INJECTOR_SERVICE, "namespace": NAMESPACE, "path": "/", "port": 443},
            "caBundle": encoded(values.certificates.webhook_ca),
        },
        "failurePolicy": failure,
        "admissionReviewVersions": ["v1"],
        "rules": [
            {
                "operations": ["CREATE"],
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }
        ],
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }
