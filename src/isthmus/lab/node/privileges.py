"""Who a container runs as: user, group and capabilities, as an argument list for `setpriv`."""

from collections.abc import Mapping
from typing import Any, Final

NOBODY: Final = 65534


def security_of(pod_spec: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """The container's security context over the pod's."""
    return {**(pod_spec.get("securityContext") or {}), **(container.get("securityContext") or {})}


def setpriv(security: Mapping[str, Any]) -> list[str]:
    """How to start a program with these rights; it also dies with the process that starts it.

    Changing the user clears the wish to die with the parent, so it is uttered last, here. A user other than root (or
    one that must not be root) keeps only the capabilities that are added by name.
    """
    user = security.get("runAsUser")
    if user is None and security.get("runAsNonRoot"):
        user = NOBODY
    user = int(user or 0)
    group = int(security.get("runAsGroup") or user)
    argv = ["/usr/bin/setpriv", "--pdeathsig", "KILL"]
    extra = ",".join(str(number) for number in security.get("supplementalGroups") or ())
    argv += [f"--reuid={user}", f"--regid={group}", f"--groups={extra}" if extra else "--clear-groups"]
    if user or security.get("runAsNonRoot"):
        kept = ",".join(["-all", *(f"+{name}" for name in added_capabilities(security))])
        argv += [f"--inh-caps={kept}", f"--ambient-caps={kept}", f"--bounding-set={kept}"]
    if security.get("allowPrivilegeEscalation") is False:
        argv.append("--no-new-privs")
    return argv


def added_capabilities(security: Mapping[str, Any]) -> list[str]:
    """The names under `capabilities.add`, as `setpriv` spells them."""
    wanted = (security.get("capabilities") or {}).get("add") or ()
    return sorted({str(name).lower().removeprefix("cap_") for name in wanted} - {"all"})
