"""Which condition of a Link is the cause, and which ones only follow from it."""

import pytest

from isthmus.cli.link_checks import CAUSES, Conditions, cause
from isthmus.multicluster.status import REASONS


def conditions(**reasons: str) -> Conditions:
    return {kind: {"status": REASONS[kind][reason], "reason": reason} for kind, reason in reasons.items()}


@pytest.mark.parametrize(
    ("kind", "found", "words"),
    [
        ("TrustEstablished", conditions(Reachable="SecretMissing", TrustEstablished="Pending"), "cannot be used"),
        ("TrustEstablished", conditions(Reachable="Unreachable", TrustEstablished="RegistrationRefused"), ""),
        ("TrustEstablished", conditions(Reachable="Connected", TrustEstablished="Undecided"), ""),
        ("GatewayAlive", conditions(Reachable="Unreachable", GatewayAlive="Blocked"), "nothing of its cluster"),
        ("GatewayAlive", conditions(Reachable="Unreachable", GatewayAlive="Down"), "nothing of its cluster"),
        ("GatewayAlive", conditions(Reachable="Unreachable", GatewayAlive="WrongIdentity"), ""),
        ("GatewayAlive", conditions(TrustEstablished="RootsRefused", GatewayAlive="NotLetIn"), "do not trust"),
        ("GatewayAlive", conditions(TrustEstablished="RootsRefused", GatewayAlive="Down"), ""),
        ("Synced", conditions(Reachable="CredentialsExpired", Synced="Waiting"), "cannot be used"),
        ("Synced", conditions(Reachable="CredentialsExpired", Synced="WriteFailed"), ""),
        ("Reachable", conditions(Accepted="DuplicateTarget"), "another Link counts"),
    ],
)
def test_a_condition_is_blamed_on_another_only_where_it_follows_from_it(
    kind: str, found: Conditions, words: str
) -> None:
    assert words in cause(kind, found)
    assert bool(cause(kind, found)) == bool(words)


def test_causes_are_written_in_reasons_that_exist() -> None:
    for kind, entries in CAUSES.items():
        for other, reasons, follows, _ in entries:
            assert reasons <= set(REASONS[other])
            assert follows <= set(REASONS[kind])
