"""What the Links say of themselves, judged: the cause fails its check, what follows from it is said to follow."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from isthmus import names
from isthmus.cli.health import Problem, Remark, Settled
from isthmus.cli.link_controller_checks import LinkControllers
from isthmus.kube import errors
from isthmus.kube.kinds import Object, plain
from isthmus.multicluster import federated, links
from isthmus.multicluster.objects import LINKS, NAMESPACES, SERVICES

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

PATIENCE: Final = 20.0
"""Seconds a Link that was just applied may take; after that, what its controller says of it is an answer."""
CONFIG_MAPS: Final = plain("v1", "ConfigMap", "configmaps")
GATEWAY_SERVICES: Final = plain("v1", "Service", "services")
SHOWN: Final = 10

Conditions = Mapping[str, Mapping[str, Any]]
"""By type."""

ANY: Final = frozenset[str]()
CAUSES: Final[Mapping[str, Sequence[tuple[str, frozenset[str], frozenset[str], str]]]] = {
    "Reachable": [("Accepted", frozenset({"DuplicateTarget"}), ANY, "another Link counts instead of it")],
    "TrustEstablished": [
        ("Accepted", frozenset({"DuplicateTarget"}), ANY, "another Link counts instead of it"),
        ("Reachable", ANY, frozenset({"Pending"}), "the API server of its cluster cannot be used"),
    ],
    "GatewayAlive": [
        ("Accepted", frozenset({"DuplicateTarget"}), ANY, "another Link counts instead of it"),
        ("Reachable", frozenset({"Unreachable"}), frozenset({"Blocked", "Down"}), "nothing of its cluster answers"),
        ("TrustEstablished", ANY, frozenset({"NotLetIn", "Untrusted"}), "the clusters do not trust each other"),
    ],
    "Synced": [
        ("Accepted", frozenset({"DuplicateTarget"}), ANY, "another Link counts instead of it"),
        ("Reachable", ANY, frozenset({"Waiting"}), "the API server of its cluster cannot be used"),
    ],
}
"""Condition -> what it may follow from: a condition with these reasons, if its own reason is one of those, in words."""


def cause(kind: str, conditions: Conditions) -> str:
    """Why a condition that is not true is so because of another one, in words; "" if it stands for itself."""
    own = str(conditions.get(kind, {}).get("reason") or "")
    for other, reasons, follows, words in CAUSES.get(kind, ()):
        found = conditions.get(other)
        if found is None or found["status"] != "False" or (reasons and found["reason"] not in reasons):
            continue
        if not own or not follows or own in follows:
            return words
    return ""


class LinkReports:
    """Questions about all Links; each raises `Problem` in words when the answer is bad."""

    def __init__(self, client: "SyncClient", namespace: str, controllers: LinkControllers) -> None:
        self.client = client
        self.namespace = namespace
        self._controllers = controllers

    def links(self) -> list[Object]:
        return self.client.list(LINKS, self.namespace)

    def require_valid(self) -> None:
        raise_for([(item, problem) for item in self.links() for problem in links.parse(item).problems])
        self.require("Accepted", apart_from=("TargetIsThisCluster",))

    def require_other_clusters(self) -> None:
        """That no Link leads back: one that was applied in the wrong cluster works, but not for whom it should."""
        found = self.links()
        wrong = []
        for item in found:
            accepted = by_type(item).get("Accepted", {})
            if accepted.get("reason") == "TargetIsThisCluster":
                wrong.append((item, str(accepted["message"])))
        raise_for(wrong or self._with_own_gateway(found))

    def _with_own_gateway(self, found: Sequence[Object]) -> list[tuple[Object, str]]:
        """Those that have this cluster's gateway and trust domain: known even if nobody has tried them."""
        if not found:
            return []
        try:
            service = self.client.get(GATEWAY_SERVICES, names.GATEWAY, self.namespace)
        except errors.NotFound:
            return []
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        own = {entry.get("ip") or entry.get("hostname") for entry in ingress}
        roots = self.client.get(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE)["data"]
        return [
            (item, f"leads to this cluster itself: apply it in the cluster that is to call {spec['targetClusterName']}")
            for item in found
            if (spec := item["spec"]).get("targetTrustDomain") == roots.get(names.TRUST_DOMAIN_KEY)
            and own & set(str(spec.get("gatewayAddress", "")).split(","))
        ]

    def require(self, kind: str, *, apart_from: Sequence[str] = ()) -> None:
        """That the controller finds this to be so for every Link."""
        found = self.links()
        if found and self._controllers.silent:
            raise Remark(
                "\n".join(["not known, because no controller runs (above). Links said last:", *_last(found, kind)])
            )
        causes: list[tuple[Object, str]] = []
        consequences: list[tuple[Object, str]] = []
        for item in found:
            conditions = by_type(item)
            condition = conditions.get(kind)
            if condition is not None and (condition["status"] == "True" or condition["reason"] in apart_from):
                continue
            told = self._told(kind, condition)
            if because := cause(kind, conditions):
                consequences.append((item, f"because {because} (above){f': {told}' if condition else ''}"))
            else:
                causes.append((item, told))
        if causes:
            raise self._settled(kind, [*causes, *consequences], [item for item, _ in causes])
        if consequences:
            raise Remark(_lines(consequences))

    def _told(self, kind: str, condition: Mapping[str, Any] | None) -> str:
        if condition is None:
            return "the controller has not looked at it yet"
        return str(condition.get("message") or condition["reason"])

    def _settled(self, kind: str, wrong: list[tuple[Object, str]], causes: Sequence[Object]) -> Problem:
        """What has been false for long does not come true while we wait."""
        since = [by_type(item).get(kind, {}) for item in causes]
        if not all(each.get("status") == "False" and each.get("lastTransitionTime") for each in since):
            return Problem(_lines(wrong))
        youngest = max(datetime.fromisoformat(str(each["lastTransitionTime"])) for each in since)
        old = self.client.clock() - youngest > timedelta(seconds=PATIENCE)
        return (Settled if old else Problem)(_lines(wrong))

    def require_known_probes(self) -> None:
        """That gateways know what they are asked; they are there all the same."""
        raise_for(self._with_reason("GatewayAlive", "ProbeNotKnown"))

    def require_renewals(self) -> None:
        """That no Link is about to break: its credentials still work, and nothing comes after them."""
        raise_for(self._with_reason("Reachable", "CredentialsNotRenewed"))

    def _with_reason(self, kind: str, reason: str) -> list[tuple[Object, str]]:
        found = [(item, by_type(item).get(kind, {})) for item in self.links()]
        return [(item, str(condition.get("message"))) for item, condition in found if condition.get("reason") == reason]

    def require_mirrored(self) -> None:
        """That everything that is exported to this cluster is here, and every member of a federated service is one."""
        try:
            self.require("Synced", apart_from=("Incomplete",))
        except Remark as remark:
            if wrong := self._skipped():
                raise Problem(f"{_lines(wrong)}\n{remark}") from None
            raise
        raise_for(self._skipped())

    def _skipped(self) -> list[tuple[Object, str]]:
        told = [
            (item, f"{entry['remoteRef']['namespace']}/{entry['remoteRef']['name']}: {condition.get('message')}")
            for item in self.links()
            for field in ("mirrorServices", "federatedServices")
            for entry in (item.get("status") or {}).get(field) or ()
            for condition in entry.get("conditions") or ()
            if condition.get("status") != "True"
        ]
        return told + self._local_skipped()

    def _local_skipped(self) -> list[tuple[Object, str]]:
        """Members of this cluster, which no Link speaks of."""
        services = {service.key: service for service in self.client.list(SERVICES)}
        members = [service for service in services.values() if federated.is_local_member(service)]
        if not members:
            return []
        namespaces = {item.metadata.name for item in self.client.list(NAMESPACES)}
        outcomes = [federated.judge(each, local=services, namespaces=namespaces) for each in members]
        return [
            ({"metadata": {"name": "this cluster"}}, f"{'/'.join(outcome.remote)}: {outcome.message}")
            for outcome in outcomes
            if not outcome.mirrored
        ]

    def require_versions(self) -> None:
        wrong = []
        for item in self.links():
            created = (item["metadata"].get("annotations") or {}).get(names.CREATED_BY_ANNOTATION, "unknown")
            if created.rpartition(" ")[2] != names.VERSION:
                wrong.append((item, f"was made by {created}, this is {names.VERSION}: link again"))
        raise_for(wrong)


def by_type(item: Object) -> Conditions:
    """The conditions of a Link."""
    return {each["type"]: each for each in (item.get("status") or {}).get("conditions") or ()}


def raise_for(wrong: Sequence[tuple[Object, str]]) -> None:
    if wrong:
        raise Problem(_lines(wrong))


def _last(found: Sequence[Object], kind: str) -> list[str]:
    """What each Link said of itself before its controller fell silent."""
    told = []
    for item in found:
        condition = by_type(item).get(kind, {})
        said = condition.get("message") if condition.get("status") == "False" else condition.get("reason")
        told.append(f"* {item['metadata']['name']}: {said or 'nothing'}")
    return told


def _lines(wrong: Sequence[tuple[Object, str]]) -> str:
    lines = [f"* {item['metadata']['name']}: {sentence}" for item, sentence in wrong]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([*lines[:SHOWN], *more])
