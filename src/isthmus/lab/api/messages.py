"""The kinds that kubectl insists on sending as protobuf, as tables: field number -> (JSON name, type)."""

from typing import Final

from isthmus.lab.api.wire import (
    Many,
    MapOf,
    Message,
    blob,
    int_or_string,
    number,
    plain_number,
    plain_truth,
    text,
    truth,
)

_OWNER: Final[Message] = {
    5: ("apiVersion", text),
    1: ("kind", text),
    3: ("name", text),
    4: ("uid", text),
    6: ("controller", truth),
    7: ("blockOwnerDeletion", truth),
}
_META: Final[Message] = {
    1: ("name", text),
    2: ("generateName", text),
    3: ("namespace", text),
    5: ("uid", text),
    6: ("resourceVersion", text),
    11: ("labels", MapOf(text)),
    12: ("annotations", MapOf(text)),
    13: ("ownerReferences", Many(_OWNER)),
    14: ("finalizers", Many(text)),
}
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
_LOCAL: Final[Message] = {1: ("name", text)}
_REFERENCE: Final[Message] = {1: ("kind", text), 2: ("namespace", text), 3: ("name", text), 4: ("uid", text)}
_RULE: Final[Message] = {
    1: ("verbs", Many(text)),
    2: ("apiGroups", Many(text)),
    3: ("resources", Many(text)),
    4: ("resourceNames", Many(text)),
    5: ("nonResourceURLs", Many(text)),
}
_SUBJECT: Final[Message] = {1: ("kind", text), 2: ("apiGroup", text), 3: ("name", text), 4: ("namespace", text)}
_SELECTOR: Final[Message] = {
    1: ("matchLabels", MapOf(text)),
    2: ("matchExpressions", Many({1: ("key", text), 2: ("operator", text), 3: ("values", Many(text))})),
}
_CONTAINER_PORT: Final[Message] = {
    1: ("name", text),
    2: ("hostPort", plain_number),
    3: ("containerPort", number),
    4: ("protocol", text),
    5: ("hostIP", text),
}
_CONTAINER: Final[Message] = {
    1: ("name", text),
    2: ("image", text),
    3: ("command", Many(text)),
    4: ("args", Many(text)),
    5: ("workingDir", text),
    6: ("ports", Many(_CONTAINER_PORT)),
    7: ("env", Many({1: ("name", text), 2: ("value", text)})),
    14: ("imagePullPolicy", text),
    16: ("stdin", plain_truth),
    17: ("stdinOnce", plain_truth),
    18: ("tty", plain_truth),
}
_POD_SPEC: Final[Message] = {
    2: ("containers", Many(_CONTAINER)),
    3: ("restartPolicy", text),
    4: ("terminationGracePeriodSeconds", number),
    6: ("dnsPolicy", text),
    8: ("serviceAccountName", text),
    9: ("serviceAccount", text),
    10: ("nodeName", text),
    19: ("schedulerName", text),
    20: ("initContainers", Many(_CONTAINER)),
}
_TEMPLATE: Final[Message] = {1: ("metadata", _META), 2: ("spec", _POD_SPEC)}
_JOB_SPEC: Final[Message] = {
    1: ("parallelism", number),
    2: ("completions", number),
    4: ("selector", _SELECTOR),
    6: ("template", _TEMPLATE),
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
_ROLE: Final[Message] = {1: ("metadata", _META), 2: ("rules", Many(_RULE))}
_BINDING: Final[Message] = {
    1: ("metadata", _META),
    2: ("subjects", Many(_SUBJECT)),
    3: ("roleRef", {1: ("apiGroup", text), 2: ("kind", text), 3: ("name", text)}),
}

KINDS: Final[dict[str, Message]] = {
    "Namespace": {
        1: ("metadata", _META),
        2: ("spec", {1: ("finalizers", Many(text))}),
        3: ("status", {1: ("phase", text)}),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", MapOf(blob)),
        3: ("type", text),
        4: ("stringData", MapOf(text)),
        5: ("immutable", truth),
    },
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", MapOf(text)),
        3: ("binaryData", MapOf(blob)),
        4: ("immutable", truth),
    },
    "ServiceAccount": {
        1: ("metadata", _META),
        2: ("secrets", Many(_REFERENCE)),
        3: ("imagePullSecrets", Many(_LOCAL)),
        4: ("automountServiceAccountToken", truth),
    },
    "TokenRequest": {
        1: ("metadata", _META),
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
    "TokenReview": {1: ("metadata", _META), 2: ("spec", {1: ("token", text), 2: ("audiences", Many(text))})},
    "SelfSubjectReview": {1: ("metadata", _META)},
    "SelfSubjectAccessReview": {
        1: ("metadata", _META),
        2: ("spec", {1: ("resourceAttributes", _RESOURCE_ATTRIBUTES), 2: ("nonResourceAttributes", _NON_RESOURCE)}),
    },
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", text)})},
    "SubjectAccessReview": {
        1: ("metadata", _META),
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
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "Deployment": {
        1: ("metadata", _META),
        2: ("spec", {1: ("replicas", number), 2: ("selector", _SELECTOR), 3: ("template", _TEMPLATE)}),
    },
    "Job": {1: ("metadata", _META), 2: ("spec", _JOB_SPEC)},
    "CronJob": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("schedule", text),
                2: ("startingDeadlineSeconds", number),
                3: ("concurrencyPolicy", text),
                4: ("suspend", truth),
                5: ("jobTemplate", {1: ("metadata", _META), 2: ("spec", _JOB_SPEC)}),
                6: ("successfulJobsHistoryLimit", number),
                7: ("failedJobsHistoryLimit", number),
                8: ("timeZone", text),
            },
        ),
    },
    "PodDisruptionBudget": {
        1: ("metadata", _META),
        2: (
            "spec",
            {1: ("minAvailable", int_or_string), 2: ("selector", _SELECTOR), 3: ("maxUnavailable", int_or_string)},
        ),
    },
    "Service": {
        1: ("metadata", _META),
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
        1: ("metadata", _META),
        2: ("deleteOptions", {1: ("gracePeriodSeconds", number), 4: ("propagationPolicy", text)}),
    },
    "Scale": {1: ("metadata", _META), 2: ("spec", {1: ("replicas", number)})},
}
