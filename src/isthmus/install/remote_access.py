"""The accounts of linking clusters: what another cluster may do in this one."""

from isthmus import names
from isthmus.install import rbac
from isthmus.install.extension import account, metadata
from isthmus.install.workloads import Manifest


def remote_access(name: str, *, namespace: str, registers: str = "") -> list[Manifest]:
    """The account whose token goes into a Link's credentials: it reads what is exported and registers trust.

    Linkerd keeps a token that never expires beside it; here `link` asks for one that does, and nothing keeps it.
    `registers` is the one trust domain that the account may change and withdraw; "" leaves it open.
    """
    roles = remote_access_roles(name, namespace=namespace, registers=registers)
    return [account(name, namespace=namespace), *roles]


def non_expiring_token(name: str, *, namespace: str) -> Manifest:
    """A Secret that Kubernetes fills with a token for ever, as Linkerd's own command line needs to link."""
    owner = {"kubernetes.io/service-account.name": name}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": metadata(f"{name}-token", namespace, annotations=owner),
    }


def remote_access_roles(name: str, *, namespace: str, registers: str = "") -> list[Manifest]:
    linkerd = names.CONTROL_PLANE_NAMESPACE
    role, binding = rbac.role(
        name,
        name,
        namespace=linkerd,
        rules=[rbac.rule([""], ["configmaps"], rbac.FOLLOW, only=[names.TRUST_ROOTS_CONFIG_MAP])],
    )
    subjects = [{"kind": "ServiceAccount", "namespace": namespace, "name": name}]
    return [
        *rbac.cluster_role(
            name,
            name,
            namespace=namespace,
            rules=[
                rbac.rule([""], ["services"], rbac.FOLLOW),
                rbac.rule([""], ["pods"], ["get", "list"]),
                rbac.rule(["discovery.k8s.io"], ["endpointslices"], rbac.FOLLOW),
            ],
        ),
        *rbac.role(
            f"{name}-trust",
            name,
            namespace=namespace,
            rules=[*registration_rules(registers), rbac.rule([""], ["serviceaccounts/token"], ["create"], only=[name])],
        ),
        role,
        {**binding, "subjects": subjects},
    ]


def registration_rules(trust_domain: str) -> list[rbac.Rule]:
    """To create cannot be narrowed by name; whoever claims a domain that is taken gets nothing by it."""
    kind = ([names.FEDERATION_GROUP], ["federatedtrustdomains"])
    if not trust_domain:
        return [rbac.rule(*kind, ["get", "create", "patch", "delete"])]
    return [rbac.rule(*kind, ["create"]), rbac.rule(*kind, ["get", "patch", "delete"], only=[trust_domain])]
