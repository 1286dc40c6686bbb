"""The conditions of a Link in words: what is so, and what to do where it should not be. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from isthmus import names
from isthmus.kube import errors, pki
from isthmus.kube.meta import Key
from isthmus.multicluster.acceptance import Verdict
from isthmus.multicluster.links import Link
from isthmus.multicluster.liveness import Liveness
from isthmus.multicluster.plans import Outcome
from isthmus.multicluster.status import Condition


def accepted(link: Link, rival: Link | None = None, *, leads_here: bool = False) -> Condition:
    """Whether the Link is acted upon as it is written, and should be."""
    if rival is not None:
        return Condition(
            "Accepted",
            "DuplicateTarget",
            f"Link {rival.name} is older and links {link.target} already. Delete one of the two.",
        )
    if leads_here:
        return Condition(
            "Accepted",
            "TargetIsThisCluster",
            f"Its credentials lead to this cluster itself. Delete it here, and apply what `linkerd multicluster link "
            f"--cluster-name {link.target}` printed in the cluster that is to call {link.target}.",
        )
    if link.problems:
        return Condition("Accepted", "InvalidSpec", " ".join(link.problems))
    return Condition("Accepted", "Accepted", "The Link is acted upon.")


def trust_pending(link: Link) -> Condition:
    return Condition("TrustEstablished", "Pending", f"Waiting for {link.target} to be reachable.")


def trust_established(
    link: Link, registration: Condition, roots: Verdict | None, *, ahead: timedelta = timedelta()
) -> Condition:
    """Whether each cluster believes the other: `registration` is this one there, `roots` are the target's here.

    `ahead` is by how much the target's clock is wrong, or this one's.
    """
    if ahead:
        return Condition("TrustEstablished", "ClockSkew", clock_skew(link, ahead))
    if roots is None or roots.accepted or registration.status == "False":
        return registration
    return Condition(
        "TrustEstablished",
        "RootsRefused",
        f"The roots of {link.target} are not accepted. {roots.message} If they should be, link {link.target} again.",
    )


def clock_skew(link: Link, ahead: timedelta) -> str:
    behind, apart = ahead < timedelta(), abs(ahead).total_seconds()
    return (
        f"The clock of {link.target} is {apart:.0f} s {'behind' if behind else 'ahead of'} this cluster's; "
        f"certificates bear {pki.CLOCK_SKEW.total_seconds():.0f} s, so new ones are refused. Set the clocks of the "
        "nodes of both clusters by NTP."
    )


def gateway_alive(
    link: Link, liveness: Liveness, *, problem: str, where: str = "", reachable: bool = True
) -> Condition:
    """Whether the target's gateway answers; `problem` is why none of its names resolves, "" when one does.

    `where` is where it is now, if that is not what the Link says.

    `reachable`: whether the target's API server answers, which tells a filter from a cluster that is away.
    """
    kind = "GatewayAlive"
    if not link.gateway_hosts:
        return Condition(
            kind,
            "NoGateway",
            "The Link has no gatewayAddress: only services whose pods are dialled directly are mirrored.",
        )
    if problem:
        return Condition(
            kind,
            "Unresolvable",
            f"{problem} Correct spec.gatewayAddress of Link {link.name}, or that name in the DNS of this cluster.",
        )
    where = where or ", ".join(map(str, link.gateways))
    match liveness.state:
        case "Alive" if liveness.remark:
            return Condition(
                kind,
                "ProbeNotKnown",
                f"The gateway at {where} is there, but answers {liveness.remark} to probeSpec.path {link.probe.path}: "
                f"{link.probe.path} is not what a gateway knows, /ready is.",
            )
        case "Alive":
            return Condition(kind, "Alive", f"The gateway at {where} answers.")
        case "Probing":
            return Condition(kind, "Probing", f"The gateway at {where} is being probed.")
        case "Down":
            why = liveness.problem or "does not answer, as before; it was not probed again yet"
            reason = liveness.reason or ("NotLetIn" if liveness.problem else "Down")
            return Condition(kind, reason, _gateway_problem(link, reason, where, why, reachable=reachable))


def _gateway_problem(link: Link, reason: str, where: str, why: str, *, reachable: bool) -> str:
    """What was seen at the gateway's address, what that means, and what to do."""
    runs = f"deploy/{names.GATEWAY} runs in {link.target} (`linkerd multicluster check` there says why it does not)"
    named = f"spec.gatewayAddress of Link {link.name}"
    if reason in ("Blocked", "Down") and not reachable:
        told = f"Nor does the API server of {link.target} answer: the cluster is away, or the network between is cut."
        return f"The gateway at {where} {why}. {told} If neither is so, check that {runs}."
    if reason == "NotLetIn":
        return (
            f"The gateway at {where} shows itself, but a probe through this cluster's proxy fails ({why}). Either it "
            f"refuses this cluster (see TrustEstablished, and `linkerd multicluster check` in {link.target}), or the "
            "proxy of the Link controller here is not well (`linkerd check`)."
        )
    advice = {
        "Down": f"Check that {runs}, and that the address is its Service's: else link again.",
        "Blocked": f"The API server of {link.target} answers, so a firewall or a route in between drops what goes to "
        f"this port, or the node or load balancer behind the address is gone. Check that {runs}.",
        "NotAGateway": f"Something else listens there. Compare {named} with Service {names.GATEWAY} of {link.target}.",
        "WrongIdentity": f"The address leads to another cluster's gateway, or spec.gatewayIdentity of Link {link.name} "
        f"is wrong. Link {link.target} again.",
        "Untrusted": f"The address leads to another cluster, or {link.target} was installed anew: `linkerd "
        "multicluster check` there says whether its gateway is older and must be restarted. Compare "
        f"{named} with Service {names.GATEWAY} of {link.target}, then link again.",
        "CertificateExpired": f"Nothing renews it: run `linkerd check` in {link.target}, and compare the clocks.",
        "CertificateNotYetValid": f"Compare the clocks of {link.target} and of this cluster.",
    }[reason]
    return f"The gateway at {where} {why}. {advice}"


def synced(
    link: Link,
    outcomes: Sequence[Outcome] | None,
    federated: Sequence[Outcome] | None,
    failures: Mapping[Key, errors.KubeError],
) -> Condition:
    """Whether all exported services are mirrored, and all that are to be federated are."""
    if outcomes is None or federated is None:
        return Condition("Synced", "Waiting", f"The exports of {link.target} are not known yet.")
    if failures:
        return Condition("Synced", "WriteFailed", f"Retrying: {next(iter(failures.values()))}")
    told = [f"{_share(outcomes)} exported services are mirrored"]
    if federated:
        told.append(f"{_share(federated)} members are federated")
    said = f"{', '.join(told)}."
    first = next((outcome for outcome in (*outcomes, *federated) if not outcome.mirrored), None)
    if first is not None:
        return Condition("Synced", "Incomplete", f"{said} {'/'.join(first.remote)}: {first.message}")
    return Condition("Synced", "Synced", said)


def _share(outcomes: Sequence[Outcome]) -> str:
    return f"{sum(outcome.mirrored for outcome in outcomes)} of {len(outcomes)}"
