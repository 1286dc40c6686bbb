"""What a Link's status says, as a pure function of what its worker knows. The tables below are the whole vocabulary."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from isthmus.kube.kinds import Object
from isthmus.multicluster.acceptance import Verdict
from isthmus.multicluster.plans import Outcome
from isthmus.multicluster.reachability import Reached

CONTROLLER: Final = "linkerd.io/service-mirror"

REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Accepted": {
        "Accepted": "True",
        "InvalidSpec": "False",
        "TargetIsThisCluster": "False",
        "DuplicateTarget": "False",
    },
    "Reachable": {
        "Connected": "True",
        "CredentialsNotRenewed": "True",
        "Connecting": "Unknown",
        "SecretMissing": "False",
        "SecretInvalid": "False",
        "CertificateNotTrusted": "False",
        "CredentialsExpired": "False",
        "CredentialsRejected": "False",
        "Forbidden": "False",
        "Unreachable": "False",
    },
    "TrustEstablished": {
        "Established": "True",
        "Pending": "Unknown",
        "ClockSkew": "False",
        "Undecided": "False",
        "RootsUnavailable": "False",
        "RootsRefused": "False",
        "RegistrationFailed": "False",
        "RegistrationRefused": "False",
    },
    "GatewayAlive": {
        "Alive": "True",
        "ProbeNotKnown": "True",
        "NoGateway": "True",
        "Probing": "Unknown",
        "Unresolvable": "False",
        "Down": "False",
        "Blocked": "False",
        "NotAGateway": "False",
        "WrongIdentity": "False",
        "Untrusted": "False",
        "CertificateExpired": "False",
        "CertificateNotYetValid": "False",
        "NotLetIn": "False",
    },
    "Synced": {
        "Synced": "True",
        "Waiting": "Unknown",
        "Incomplete": "False",
        "WriteFailed": "False",
    },
}
"""Condition type -> reason -> status, in order of importance: the first that is not True is the headline."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; its status follows from its reason."""

    type: str
    reason: str
    message: str = ""

    @property
    def status(self) -> str:
        return REASONS[self.type][self.reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything a status is made of."""

    conditions: tuple[Condition, ...]
    outcomes: tuple[Outcome, ...] | None = None
    """None while the exports are not known: what the status said stays. So it is with the next."""
    federated: tuple[Outcome, ...] | None = None
    latency_ms: float | None = None
    gateway_address: str = ""
    """Where the gateway is, as a Link writes it."""
    gateways: tuple[Reached, ...] | None = None
    """Its addresses; None while they are not known: what the status said stays."""
    roots: Verdict | None = None
    """On the target's roots; None while they are not known: what was accepted stays, so proxies keep trusting it."""
    registered_trust_domain: str = ""
    registered_roots: str = ""
    credentials_expire: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing is still being found out."""
        return all(condition.status != "Unknown" for condition in self.conditions)


def headline(conditions: Iterable[Condition]) -> Condition | None:
    """The most important condition that does not hold."""
    order = list(REASONS)
    wrong = [condition for condition in conditions if condition.status != "True"]
    return min(wrong, key=lambda condition: order.index(condition.type), default=None)


def ready(conditions: Sequence[Condition]) -> Object:
    wrong = headline(conditions)
    if wrong is None:
        return {"type": "Ready", "status": "True", "reason": "Ready", "message": "Everything about this link works."}
    return {"type": "Ready", "status": "False", "reason": wrong.reason, "message": wrong.message}


def render(known: Knowledge, previous: Mapping[str, Any], *, now: str) -> Object:
    """The whole status. Times of conditions that did not change are kept, so an unchanged status is equal."""
    conditions = [
        {"type": item.type, "status": item.status, "reason": item.reason, "message": item.message}
        for item in known.conditions
    ]
    summary = ready(known.conditions)
    made: Object = {
        "conditions": _dated([*conditions, summary], previous.get("conditions") or (), now),
        "alive": next((_alive(item) for item in known.conditions if item.type == "GatewayAlive"), "Unknown"),
        "latency": "" if known.latency_ms is None else f"{known.latency_ms:.0f}ms",
        "ready": summary["status"],
        "reason": summary["reason"],
        "credentialsExpireAt": known.credentials_expire,
    }
    if known.gateways is not None:
        made["gatewayAddress"] = known.gateway_address
        made["gateways"] = [_reached(each) for each in known.gateways]
    if known.registered_trust_domain:
        # What was registered once stays known until the Link's end, which withdraws it.
        made["registeredTrustDomain"] = known.registered_trust_domain
    if known.registered_roots:
        made["registeredRoots"] = known.registered_roots
    if known.outcomes is not None:
        made["mirrorServices"] = _mirrored(known.outcomes, previous.get("mirrorServices") or (), now)
        made["services"] = f"{sum(outcome.mirrored for outcome in known.outcomes)}/{len(known.outcomes)}"
    if known.federated is not None:
        made["federatedServices"] = _mirrored(known.federated, previous.get("federatedServices") or (), now)
    if known.roots is not None:
        accepted = known.roots.roots
        made["trustDomain"] = accepted.trust_domain if accepted else ""
        made["trustBundle"] = accepted.bundle if accepted else ""
    return made


_ALIVE: Final = {"Alive": "True", "Down": "False"}


def _reached(each: Reached) -> Object:
    made: Object = {
        "address": str(each.host),
        "alive": _ALIVE.get(each.state, "Unknown"),
        "latency": "" if each.latency_ms is None else f"{each.latency_ms:.0f}ms",
    }
    optional: Object = {"name": each.name, "probePort": each.probe_port}
    return made | {field: value for field, value in optional.items() if value}


def _alive(condition: Condition) -> str:
    return "" if condition.reason == "NoGateway" else condition.status


def _dated(conditions: Iterable[Object], previous: Iterable[Mapping[str, Any]], now: str) -> list[Object]:
    before = {item.get("type"): item for item in previous}
    return [
        condition | {"lastTransitionTime": _since(condition, before.get(condition["type"]), now)}
        for condition in conditions
    ]


def _since(condition: Mapping[str, Any], before: Mapping[str, Any] | None, now: str) -> str:
    if before and before.get("status") == condition["status"] and before.get("lastTransitionTime"):
        return str(before["lastTransitionTime"])
    return now


def _mirrored(outcomes: Iterable[Outcome], previous: Iterable[Mapping[str, Any]], now: str) -> list[Object]:
    before = {(ref.get("namespace"), ref.get("name")): item for item in previous if (ref := item.get("remoteRef"))}
    return [
        {
            "conditions": _dated([_condition(outcome)], before.get(outcome.remote, {}).get("conditions") or (), now),
            "controllerName": CONTROLLER,
            "remoteRef": _reference(outcome.remote),
        }
        for outcome in outcomes
    ]


def _condition(outcome: Outcome) -> Object:
    return {
        "type": "Mirrored",
        "status": "True" if outcome.mirrored else "False",
        "reason": outcome.reason,
        "message": outcome.message,
        "localRef": _reference(outcome.local),
    }


def _reference(key: tuple[str, str]) -> Object:
    return {"group": "", "kind": "Service", "namespace": key[0], "name": key[1]}
