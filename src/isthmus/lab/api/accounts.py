"""What every pod gets without asking: a service account, and its token where programs look for it. Pure functions."""

import copy
import secrets
from collections.abc import Iterator
from typing import Any, Final

from isthmus.lab.api.contracts import Object

DEFAULT_ACCOUNT: Final = "default"
MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS: Final = 3607
VOLUME_PREFIX: Final = "kube-api-access-"
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


def account_name(pod: Object) -> str:
    """The account that a pod runs as."""
    spec = pod.get("spec") or {}
    return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT_ACCOUNT)


def with_account(pod: Object, account: Object) -> Object:
    """The pod with its account filled in and the token mounted, unless the pod or else the account declines it."""
    name = account["metadata"]["name"]
    pod = copy.deepcopy(pod)
    spec = pod.setdefault("spec", {})
    spec |= {"serviceAccountName": name, "serviceAccount": name}
    if not spec.get("imagePullSecrets") and (secrets_of_account := account.get("imagePullSecrets")):
        spec["imagePullSecrets"] = copy.deepcopy(secrets_of_account)
    wanted = [container for container in _containers(spec) if not _has_mount(container)]
    if not wanted or not _mounts_token(spec, account):
        return pod
    volume = VOLUME_PREFIX + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
    spec.setdefault("volumes", []).append(_token_volume(volume))
    for container in wanted:
        mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
        container.setdefault("volumeMounts", []).append(mount)
    return pod


def _mounts_token(spec: Object, account: Object) -> bool:
    """The pod's word counts before its account's; the default is yes."""
    declared = [owner.get("automountServiceAccountToken") for owner in (spec, account)]
    return next((bool(choice) for choice in declared if choice is not None), True)


def _containers(spec: Object) -> Iterator[dict[str, Any]]:
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _has_mount(container: dict[str, Any]) -> bool:
    return any(mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts") or ())


def _token_volume(name: str) -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
        },
    }
