"""The kinds that kubectl insists on sending as protobuf, as tables: field number -> (JSON name, type)."""

from typing import Final

from isthmus.lab.api.podmessages import LOCAL, META, SELECTOR, TEMPLATE
from isthmus.lab.api.wire import (
    Inline,
    Many,
    MapOf,
    Message,
    blob,
    int_or_string,
    number,
    plain_number,
    plain_truth,
    quantity,
    text,
    truth,
)

_RESOURCE_ATTRIBUTES: Final[Message] = {
    1: ("namespace", text),
    2: ("verb", text),
    3: ("group", text),
    4: ("version", text),
    5: ("resource", text),
    6: ("subresource", text),
    7: ("name", text),
}
_NON_RESOURCE: Final[Message] = {1: ("path", text), 2: ("verb", text)}
_REFERENCE: Final[Message] = {1: ("kind", text), 2: ("namespace", text), 3: ("name", text), 4: ("uid", text)}
_RULE: Final[Message] = {
    1: ("verbs", Many(text)),
    2: ("apiGroups", Many(text)),
    3: ("resources", Many(text)),
    4: ("resourceNames", Many(text)),
    5: ("nonResourceURLs", Many(text)),
}
_SUBJECT: Final[Message] = {1: ("kind", text), 2: ("apiGroup", text), 3: ("name", text), 4: ("namespace", text)}
_JOB_SPEC: Final[Message] = {
    1: ("parallelism", number),
    2: ("completions", number),
    4: ("selector", SELECTOR),
    6: ("template", TEMPLATE),
    7: ("backoffLimit", number),
    8: ("ttlSecondsAfterFinished", number),
}
_SERVICE_PORT: Final[Message] = {
    1: ("name", text),
    2: ("protocol", text),
    3: ("port", number),
    4: ("targetPort", int_or_string),
    5: ("nodePort", plain_number),
    6: ("appProtocol", text),
}
_ROLE: Final[Message] = {1: ("metadata", META), 2: ("rules", Many(_RULE))}
_INGRESS_BACKEND: Final[Message] = {
    3: ("resource", {1: ("apiGroup", text), 2: ("kind", text), 3: ("name", text)}),
    4: ("service", {1: ("name", text), 2: ("port", {1: ("name", text), 2: ("number", plain_number)})}),
}
_INGRESS_PATH: Final[Message] = {1: ("path", text), 2: ("backend", _INGRESS_BACKEND), 3: ("pathType", text)}
_INGRESS_RULE: Final[Message] = {
    1: ("host", text),
    2: ("", Inline({1: ("http", {1: ("paths", Many(_INGRESS_PATH))})})),
}
_METRIC_TARGET: Final[Message] = {
    1: ("type", text),
    2: ("value", quantity),
    3: ("averageValue", quantity),
    4: ("averageUtilization", number),
}
_METRIC: Final[Message] = {
    1: ("type", text),
    4: ("resource", {1: ("name", text), 2: ("target", _METRIC_TARGET)}),
}
_BINDING: Final[Message] = {
    1: ("metadata", META),
    2: ("subjects", Many(_SUBJECT)),
    3: ("roleRef", {1: ("apiGroup", text), 2: ("kind", text), 3: ("name", text)}),
}

KINDS: Final[dict[str, Message]] = {
    "Namespace": {
        1: ("metadata", META),
        2: ("spec", {1: ("finalizers", Many(text))}),
        3: ("status", {1: ("phase", text)}),
    },
    "Secret": {
        1: ("metadata", META),
        2: ("data", MapOf(blob)),
        3: ("type", text),
        4: ("stringData", MapOf(text)),
        5: ("immutable", truth),
    },
    "ConfigMap": {
        1: ("metadata", META),
        2: ("data", MapOf(text)),
        3: ("binaryData", MapOf(blob)),
        4: ("immutable", truth),
    },
    "ServiceAccount": {
        1: ("metadata", META),
        2: ("secrets", Many(_REFERENCE)),
        3: ("imagePullSecrets", Many(LOCAL)),
        4: ("automountServiceAccountToken", truth),
    },
    "TokenRequest": {
        1: ("metadata", META),
        2: (
            "spec",
            {
                1: ("audiences", Many(text)),
                4: ("expirationSeconds", number),
                3: (
                    "boundObjectRef",
                    {1: ("kind", text), 2: ("apiVersion", text), 3: ("name", text), 4: ("uid", text)},
                ),
            },
        ),
    },
    "TokenReview": {1: ("metadata", META), 2: ("spec", {1: ("token", text), 2: ("audiences", Many(text))})},
    "SelfSubjectReview": {1: ("metadata", META)},
    "SelfSubjectAccessReview": {
        1: ("metadata", META),
        2: ("spec", {1: ("resourceAttributes", _RESOURCE_ATTRIBUTES), 2: ("nonResourceAttributes", _NON_RESOURCE)}),
    },
    "SelfSubjectRulesReview": {1: ("metadata", META), 2: ("spec", {1: ("namespace", text)})},
    "SubjectAccessReview": {
        1: ("metadata", META),
        2: (
            "spec",
            {
                1: ("resourceAttributes", _RESOURCE_ATTRIBUTES),
                2: ("nonResourceAttributes", _NON_RESOURCE),
                3: ("user", text),
                4: ("groups", Many(text)),
                6: ("uid", text),
            },
        ),
    },
    "Role": _ROLE,
    "ClusterRole": _ROLE | {3: ("aggregationRule", {1: ("clusterRoleSelectors", Many(SELECTOR))})},
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "Deployment": {
        1: ("metadata", META),
        2: ("spec", {1: ("replicas", number), 2: ("selector", SELECTOR), 3: ("template", TEMPLATE)}),
    },
    "Pod": TEMPLATE,
    "Ingress": {
        1: ("metadata", META),
        2: (
            "spec",
            {
                1: ("defaultBackend", _INGRESS_BACKEND),
                2: ("tls", Many({1: ("hosts", Many(text)), 2: ("secretName", text)})),
                3: ("rules", Many(_INGRESS_RULE)),
                4: ("ingressClassName", text),
            },
        ),
    },
    "PriorityClass": {
        1: ("metadata", META),
        2: ("value", number),
        3: ("globalDefault", plain_truth),
        4: ("description", text),
        5: ("preemptionPolicy", text),
    },
    "ResourceQuota": {
        1: ("metadata", META),
        2: ("spec", {1: ("hard", MapOf(quantity)), 2: ("scopes", Many(text))}),
    },
    "HorizontalPodAutoscaler": {
        1: ("metadata", META),
        2: (
            "spec",
            {
                1: ("scaleTargetRef", {1: ("kind", text), 2: ("name", text), 3: ("apiVersion", text)}),
                2: ("minReplicas", number),
                3: ("maxReplicas", number),
                4: ("metrics", Many(_METRIC)),
            },
        ),
    },
    "Job": {1: ("metadata", META), 2: ("spec", _JOB_SPEC)},
    "CronJob": {
        1: ("metadata", META),
        2: (
            "spec",
            {
                1: ("schedule", text),
                2: ("startingDeadlineSeconds", number),
                3: ("concurrencyPolicy", text),
                4: ("suspend", truth),
                5: ("jobTemplate", {1: ("metadata", META), 2: ("spec", _JOB_SPEC)}),
                6: ("successfulJobsHistoryLimit", number),
                7: ("failedJobsHistoryLimit", number),
                8: ("timeZone", text),
            },
        ),
    },
    "PodDisruptionBudget": {
        1: ("metadata", META),
        2: (
            "spec",
            {1: ("minAvailable", int_or_string), 2: ("selector", SELECTOR), 3: ("maxUnavailable", int_or_string)},
        ),
    },
    "Service": {
        1: ("metadata", META),
        2: (
            "spec",
            {
                1: ("ports", Many(_SERVICE_PORT)),
                2: ("selector", MapOf(text)),
                3: ("clusterIP", text),
                4: ("type", text),
                10: ("externalName", text),
            },
        ),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", number),
        2: ("preconditions", {1: ("uid", text), 2: ("resourceVersion", text)}),
        3: ("orphanDependents", truth),
        4: ("propagationPolicy", text),
        5: ("dryRun", Many(text)),
    },
    "Eviction": {
        1: ("metadata", META),
        2: ("deleteOptions", {1: ("gracePeriodSeconds", number), 4: ("propagationPolicy", text)}),
    },
    "Scale": {1: ("metadata", META), 2: ("spec", {1: ("replicas", number)})},
}
