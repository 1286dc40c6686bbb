"""The conditions of a Link in words: what is so, and what to do where it should not be. Pure."""

from collections.abc import Mapping, Sequence

from isthmus import names
from isthmus.kube import errors
from isthmus.kube.meta import Key
from isthmus.multicluster.acceptance import Verdict
from isthmus.multicluster.links import Link
from isthmus.multicluster.liveness import Liveness
from isthmus.multicluster.plans import Outcome
from isthmus.multicluster.status import Condition


def accepted(link: Link, rival: Link | None = None) -> Condition:
    """Whether the Link is acted upon as it is written."""
    if rival is not None:
        return Condition(
            "Accepted",
            "DuplicateTarget",
            f"Link {rival.name} is older and links {link.target} already. Delete one of the two.",
        )
    if link.problems:
        return Condition("Accepted", "InvalidSpec", " ".join(link.problems))
    return Condition("Accepted", "Accepted", "The Link is acted upon.")


def trust_pending(link: Link) -> Condition:
    return Condition("TrustEstablished", "Pending", f"Waiting for {link.target} to be reachable.")


def trust_established(link: Link, registration: Condition, roots: Verdict | None) -> Condition:
    """Whether each cluster believes the other: `registration` is this one there, `roots` are the target's here."""
    if roots is None or roots.accepted or registration.status == "False":
        return registration
    return Condition(
        "TrustEstablished",
        "RootsRefused",
        f"The roots of {link.target} are not accepted. {roots.message} If they should be, link {link.target} again.",
    )


def gateway_alive(link: Link, liveness: Liveness, *, problem: str) -> Condition:
    """Whether the target's gateway answers; `problem` is why none of its names resolves, "" when one does."""
    kind = "GatewayAlive"
    if not link.gateway_hosts:
        return Condition(
            kind,
            "NoGateway",
            "The Link has no gatewayAddress: only services whose pods are dialled directly are mirrored.",
        )
    if problem:
        return Condition(kind, "Unresolvable", problem)
    where = f"{', '.join(link.gateway_hosts)} port {link.gateway_port}"
    match liveness.state:
        case "Alive":
            return Condition(kind, "Alive", f"The gateway at {where} answers.")
        case "Probing":
            return Condition(kind, "Probing", f"The gateway at {where} is being probed.")
        case "Down":
            why = liveness.problem or "it did not before, and was not probed again yet"
            return Condition(
                kind,
                "Down",
                f"The gateway at {where} does not answer ({why}). Check that this cluster reaches that address and "
                f"that deploy/{names.GATEWAY} runs in {link.target}.",
            )


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
