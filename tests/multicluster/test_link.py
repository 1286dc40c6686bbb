"""How a Link is read, which of several counts, and what its status says."""

import pytest

from isthmus.multicluster import conditions, links, prober, status
from isthmus.multicluster.liveness import Liveness
from isthmus.multicluster.plans import Outcome
from isthmus.multicluster.status import Condition, Knowledge

from .values import link, link_object

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("address", "port", "hosts", "number"),
    [
        ("203.0.113.10", "4143", ("203.0.113.10",), 4143),
        ("a.example, 203.0.113.11,a.example", "443", ("a.example", "203.0.113.11"), 443),
        ("203.0.113.10:30443", "", ("203.0.113.10",), 30443),
        ("2001:db8::1", "", ("2001:db8::1",), 4143),
        ("[2001:db8::1]:30443", "4143", ("2001:db8::1",), 30443),
        ("", "", (), 4143),
    ],
)
def test_gateway_addresses_in_every_spelling(address: str, port: str, hosts: tuple[str, ...], number: int) -> None:
    parsed = link(gatewayAddress=address, gatewayPort=port)
    assert (parsed.gateway_hosts, parsed.gateway_port) == (hosts, number)
    assert not parsed.problems


HUGE = "9" * 5000
"""More digits than Python reads as a number."""


@pytest.mark.parametrize(
    ("port", "period", "threshold", "probe_port"), [("many", "soon", "-1", "0"), (HUGE, HUGE + "h", HUGE, HUGE)]
)
def test_fields_that_cannot_be_used_are_named_and_replaced_by_their_defaults(
    port: str, period: str, threshold: str, probe_port: str
) -> None:
    spec = {"period": period, "failureThreshold": threshold, "port": probe_port}
    parsed = link(gatewayPort=port, probeSpec=spec, gatewayAddress=f"203.0.113.10:{HUGE}")
    assert parsed.gateway_port == 4143
    assert parsed.probe == links.Probe()
    fields = ("gatewayPort", "probeSpec.port", "probeSpec.period", "failureThreshold")
    assert all(any(field in problem for problem in parsed.problems) for field in fields)


def test_a_link_may_have_any_name() -> None:
    assert links.parse(link_object("east", name="anything")).target == "east"


def test_of_two_links_to_one_target_the_older_counts_unless_it_is_being_deleted() -> None:
    def made(name: str, day: int, **metadata: str) -> links.Link:
        created = {"creationTimestamp": f"2026-01-{day:02}T00:00:00Z", **metadata}
        return links.parse(link_object("east", name=name, metadata=created))

    old, new, other = made("z", 1), made("a", 2), link("north")
    assert links.older_link(new, [new, other, old]) == old
    assert links.older_link(old, [new, other, old]) is None
    leaving = made("z", 1, deletionTimestamp=LATER)
    assert links.older_link(new, [new, leaving]) is None


def test_a_link_is_the_same_as_long_as_the_same_is_to_be_done_about_it() -> None:
    before = links.parse(link_object(metadata={"resourceVersion": "1"}))
    assert before == links.parse(link_object(metadata={"resourceVersion": "2", "finalizers": ["x"]}))
    assert before != link(gatewayPort="5")


def knowledge(**changed: str) -> Knowledge:
    reasons = {
        "Accepted": "Accepted",
        "Reachable": "Connected",
        "TrustEstablished": "Established",
        "GatewayAlive": "Alive",
        "Synced": "Synced",
    } | changed
    outcome = Outcome(("default", "backend"), ("default", "backend-east"), "Mirrored")
    return Knowledge(conditions=tuple(Condition(kind, why) for kind, why in reasons.items()), outcomes=(outcome,))


def test_the_headline_is_the_most_important_thing_that_is_wrong() -> None:
    made = status.render(knowledge(Synced="Incomplete", Reachable="SecretMissing"), {}, now=NOW)
    assert (made["ready"], made["reason"], made["services"]) == ("False", "SecretMissing", "1/1")
    assert status.render(knowledge(), {}, now=NOW)["reason"] == "Ready"


def test_a_link_without_gateway_is_ready_and_its_gateway_is_neither_alive_nor_down() -> None:
    made = status.render(knowledge(GatewayAlive="NoGateway"), {}, now=NOW)
    assert (made["ready"], made["alive"]) == ("True", "")


def test_services_and_members_that_are_missing_are_told_by_the_same_condition() -> None:
    fine = Outcome(("default", "backend"), ("default", "backend-east"), "Mirrored")
    wrong = Outcome(("default", "db"), ("default", "db-federated"), "InvalidService", "Why it is so.")
    assert conditions.synced(link(), (fine,), None, {}).reason == "Waiting"
    assert conditions.synced(link(), (fine,), (fine,), {}).status == "True"
    told = conditions.synced(link(), (fine,), (fine, wrong), {})
    assert told.reason == "Incomplete"
    assert told.message == (
        "1 of 1 exported services are mirrored, 1 of 2 members are federated. default/db: Why it is so."
    )


def test_an_unchanged_status_is_equal_and_a_changed_condition_has_its_time() -> None:
    first = status.render(knowledge(), {}, now=NOW)
    assert status.render(knowledge(), first, now=LATER) == first
    second = status.render(knowledge(GatewayAlive="Down"), first, now=LATER)
    times = {item["type"]: item["lastTransitionTime"] for item in second["conditions"]}
    assert (times["GatewayAlive"], times["Ready"], times["Reachable"]) == (LATER, LATER, NOW)


def test_while_the_target_is_away_the_status_keeps_what_was_known() -> None:
    unknown = Knowledge(conditions=knowledge().conditions)
    assert not {"mirrorServices", "services", "trustBundle"} & status.render(unknown, {}, now=NOW).keys()


def test_a_gateway_counts_as_alive_until_the_threshold_and_again_with_the_first_answer() -> None:
    alive = Liveness().answered(5)
    once = alive.failed("refused", 2)
    twice = once.failed("refused", 2)
    assert (alive.state, once.state, twice.state, twice.alive) == ("Alive", "Alive", "Down", False)
    assert (twice.failed("refused", 2).state, twice.answered(3).state) == ("Down", "Alive")
    assert (twice.latency_ms, twice.problem) == (None, "refused")


def test_a_gateway_that_fails_to_answer_once_is_not_one_that_answers_something_else() -> None:
    def told(liveness: Liveness, *, reachable: bool = True) -> tuple[str, str]:
        found = conditions.gateway_alive(link(), liveness, problem="", reachable=reachable)
        return found.reason, found.message

    odd = Liveness().answered(5, "404")
    assert told(odd)[0] == told(odd.failed("no answer", 3))[0] == "ProbeNotKnown"
    assert "answers 404 to probeSpec.path" in told(odd)[1]
    well = odd.answered(5)
    once = well.failed("answered 503", 2)
    assert told(once) == told(well)
    assert told(once)[0] == "Alive"
    reason, why = told(once.failed("refuses the connection", 2, "Down"), reachable=False)
    assert reason == "Down"
    assert "refuses the connection. Nor does the API server of east answer: the cluster is away" in why
    assert "deploy/linkerd-gateway runs in east" in why


def test_a_new_gateway_is_probed_often_but_not_declared_down_sooner() -> None:
    spec = links.Probe(period=3, threshold=3)
    fresh, known = Liveness(), Liveness("Alive")
    assert prober.pause(spec, fresh) * prober.tolerated(spec, fresh) == pytest.approx(9)
    assert (prober.pause(spec, known), prober.tolerated(spec, known)) == (3, 3)
