"""Metadata, selectors and pods in Kubernetes' protobuf, as tables: field number -> (JSON name, type).

A pod has many more fields; those here are what kubectl copies when it makes a job of a cron job or debugs a copy of a
pod. Others are refused by name, as everywhere.
"""

from typing import Final

from isthmus.lab.api.wire import (
    Inline,
    Many,
    MapOf,
    Message,
    Present,
    int_or_string,
    number,
    plain_number,
    plain_truth,
    quantity,
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
META: Final[Message] = {
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
LOCAL: Final[Message] = {1: ("name", text)}
SELECTOR: Final[Message] = {
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
_KEY: Final[Message] = {1: ("", Inline(LOCAL)), 2: ("key", text), 3: ("optional", truth)}
_FIELD: Final[Message] = {1: ("apiVersion", text), 2: ("fieldPath", text)}
_RESOURCE_FIELD: Final[Message] = {1: ("containerName", text), 2: ("resource", text), 3: ("divisor", quantity)}
_ENV: Final[Message] = {
    1: ("name", text),
    2: ("value", text),
    3: (
        "valueFrom",
        {
            1: ("fieldRef", _FIELD),
            2: ("resourceFieldRef", _RESOURCE_FIELD),
            3: ("configMapKeyRef", _KEY),
            4: ("secretKeyRef", _KEY),
        },
    ),
}
_WHOLE: Final[Message] = {1: ("", Inline(LOCAL)), 2: ("optional", truth)}
_ENV_FROM: Final[Message] = {1: ("prefix", text), 2: ("configMapRef", _WHOLE), 3: ("secretRef", _WHOLE)}
_MOUNT: Final[Message] = {
    1: ("name", text),
    2: ("readOnly", plain_truth),
    3: ("mountPath", text),
    4: ("subPath", text),
    5: ("mountPropagation", text),
    6: ("subPathExpr", text),
}
_EXEC: Final[Message] = {1: ("command", Many(text))}
_HTTP_GET: Final[Message] = {
    1: ("path", text),
    2: ("port", int_or_string),
    3: ("host", text),
    4: ("scheme", text),
    5: ("httpHeaders", Many({1: ("name", text), 2: ("value", text)})),
}
_TCP: Final[Message] = {1: ("port", int_or_string), 2: ("host", text)}
_SLEEP: Final[Message] = {1: ("seconds", number)}
_HOOK: Final[Message] = {1: ("exec", _EXEC), 2: ("httpGet", _HTTP_GET), 3: ("tcpSocket", _TCP), 4: ("sleep", _SLEEP)}
_GRPC: Final[Message] = {1: ("port", number), 2: ("service", text)}
_PROBED: Final[Message] = {1: ("exec", _EXEC), 2: ("httpGet", _HTTP_GET), 3: ("tcpSocket", _TCP), 4: ("grpc", _GRPC)}
_PROBE: Final[Message] = {
    1: ("", Inline(_PROBED)),
    2: ("initialDelaySeconds", plain_number),
    3: ("timeoutSeconds", plain_number),
    4: ("periodSeconds", plain_number),
    5: ("successThreshold", plain_number),
    6: ("failureThreshold", plain_number),
    7: ("terminationGracePeriodSeconds", number),
}
_SECCOMP: Final[Message] = {1: ("type", text), 2: ("localhostProfile", text)}
_SECURITY: Final[Message] = {
    1: ("capabilities", {1: ("add", Many(text)), 2: ("drop", Many(text))}),
    2: ("privileged", truth),
    4: ("runAsUser", number),
    5: ("runAsNonRoot", truth),
    6: ("readOnlyRootFilesystem", truth),
    7: ("allowPrivilegeEscalation", truth),
    8: ("runAsGroup", number),
    11: ("seccompProfile", _SECCOMP),
}
_CONTAINER: Final[Message] = {
    1: ("name", text),
    2: ("image", text),
    3: ("command", Many(text)),
    4: ("args", Many(text)),
    5: ("workingDir", text),
    6: ("ports", Many(_CONTAINER_PORT)),
    7: ("env", Many(_ENV)),
    8: ("resources", {1: ("limits", MapOf(quantity)), 2: ("requests", MapOf(quantity))}),
    9: ("volumeMounts", Many(_MOUNT)),
    10: ("livenessProbe", _PROBE),
    11: ("readinessProbe", _PROBE),
    12: ("lifecycle", {1: ("postStart", _HOOK), 2: ("preStop", _HOOK)}),
    13: ("terminationMessagePath", text),
    14: ("imagePullPolicy", text),
    15: ("securityContext", _SECURITY),
    16: ("stdin", plain_truth),
    17: ("stdinOnce", plain_truth),
    18: ("tty", plain_truth),
    19: ("envFrom", Many(_ENV_FROM)),
    20: ("terminationMessagePolicy", text),
    22: ("startupProbe", _PROBE),
    24: ("restartPolicy", text),
}

_ITEM: Final[Message] = {1: ("key", text), 2: ("path", text), 3: ("mode", number)}
_DOWNWARD_ITEM: Final[Message] = {
    1: ("path", text),
    2: ("fieldRef", _FIELD),
    3: ("resourceFieldRef", _RESOURCE_FIELD),
    4: ("mode", number),
}
_NAMED_ITEMS: Final[Message] = {1: ("", Inline(LOCAL)), 2: ("items", Many(_ITEM)), 4: ("optional", truth)}
_SOURCE: Final[Message] = {
    1: ("secret", _NAMED_ITEMS),
    2: ("downwardAPI", {1: ("items", Many(_DOWNWARD_ITEM))}),
    3: ("configMap", _NAMED_ITEMS),
    4: ("serviceAccountToken", {1: ("audience", text), 2: ("expirationSeconds", number), 3: ("path", text)}),
}
_VOLUMES: Final[Message] = {
    1: ("hostPath", {1: ("path", text), 2: ("type", text)}),
    2: ("emptyDir", Present({1: ("medium", text), 2: ("sizeLimit", quantity)})),
    6: (
        "secret",
        {1: ("secretName", text), 2: ("items", Many(_ITEM)), 3: ("defaultMode", number), 4: ("optional", truth)},
    ),
    10: ("persistentVolumeClaim", {1: ("claimName", text), 2: ("readOnly", plain_truth)}),
    16: ("downwardAPI", {1: ("items", Many(_DOWNWARD_ITEM)), 2: ("defaultMode", number)}),
    19: ("configMap", _NAMED_ITEMS | {3: ("defaultMode", number)}),
    26: ("projected", {1: ("sources", Many(_SOURCE)), 2: ("defaultMode", number)}),
}
_POD_SECURITY: Final[Message] = {
    2: ("runAsUser", number),
    3: ("runAsNonRoot", truth),
    4: ("supplementalGroups", Many(number)),
    5: ("fsGroup", number),
    6: ("runAsGroup", number),
    10: ("seccompProfile", _SECCOMP),
}
_TOLERATION: Final[Message] = {
    1: ("key", text),
    2: ("operator", text),
    3: ("value", text),
    4: ("effect", text),
    5: ("tolerationSeconds", number),
}
_POD_SPEC: Final[Message] = {
    1: ("volumes", Many({1: ("name", text), 2: ("", Inline(_VOLUMES))})),
    2: ("containers", Many(_CONTAINER)),
    3: ("restartPolicy", text),
    4: ("terminationGracePeriodSeconds", number),
    5: ("activeDeadlineSeconds", number),
    6: ("dnsPolicy", text),
    7: ("nodeSelector", MapOf(text)),
    8: ("serviceAccountName", text),
    9: ("serviceAccount", text),
    10: ("nodeName", text),
    11: ("hostNetwork", plain_truth),
    12: ("hostPID", plain_truth),
    13: ("hostIPC", plain_truth),
    14: ("securityContext", _POD_SECURITY),
    15: ("imagePullSecrets", Many(LOCAL)),
    16: ("hostname", text),
    17: ("subdomain", text),
    19: ("schedulerName", text),
    20: ("initContainers", Many(_CONTAINER)),
    21: ("automountServiceAccountToken", truth),
    22: ("tolerations", Many(_TOLERATION)),
    24: ("priorityClassName", text),
    25: ("priority", number),
    27: ("shareProcessNamespace", truth),
    30: ("enableServiceLinks", truth),
    31: ("preemptionPolicy", text),
}
TEMPLATE: Final[Message] = {1: ("metadata", META), 2: ("spec", _POD_SPEC)}
