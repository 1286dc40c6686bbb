"""One picture of all clusters from what each of them shows."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace
from tests.viz import pages
from tests.viz.pages import EAST, LINKED, NOW, WEST, call, party, picture, seen, workload

from isthmus.viz.web_sources import Follower, SourceError, heard
from isthmus.viz.web_story import Lag, Story
from isthmus.viz.web_world import UNNAMED, changes, compose

FRONTEND, BACKEND = "west/default/deployment/frontend", "east/default/deployment/backend"
MIRRORED = "default/backend-east"
CROSSING = f"{FRONTEND}>{BACKEND}>{MIRRORED}:8080>{MIRRORED}"
NAMED = (seen("", replace(WEST, name="west")), LINKED[1])


def test_a_cluster_is_called_as_its_installation_was_told_or_as_a_linked_one_calls_it():
    assert list(compose(NAMED).regions) == ["west", "east"]
    back = replace(EAST, links=(pages.link("occident", trust_domain="west.example"),))
    assert list(compose((LINKED[0], seen("east", back))).regions) == ["occident", "east"]
    assert list(compose(LINKED).regions) == [UNNAMED, "east"]


def test_a_call_across_clusters_is_told_once_by_its_client_with_the_service_and_the_way():
    world = compose(NAMED)
    across = {key: edge for key, edge in world.edges.items() if edge["to"] == BACKEND}
    assert list(across) == [CROSSING]
    assert across[CROSSING]["via"] == "gateway"
    assert across[CROSSING]["server"] == pages.identity("backend", "east")
    assert across[CROSSING]["n"] == {"success": 0.8, "rps": 2.0, "p50": 2.0, "p95": 8.0, "p99": 20.0}


def test_of_a_client_whose_cluster_is_gone_there_is_what_the_server_saw():
    world = compose((seen("", replace(EAST, name="east")),))
    (edge,) = world.edges.values()
    assert edge["from"] == "west.example/default/serviceaccount/frontend"
    assert world.regions["west.example"]["state"] == "unlinked"


def test_a_cluster_that_does_not_share_is_a_region_with_what_this_side_sees():
    world = compose((NAMED[0], seen("east", None, state="forbidden", reason="It does not share.")))
    assert world.regions["east"]["state"] == "forbidden"
    assert world.nodes[BACKEND]["seen"] == "west"
    assert world.nodes[BACKEND]["n"] == {}, "nobody told what it is asked, which is not zero"
    assert world.edges[CROSSING]["n"]["rps"] == 2.0


def test_a_cluster_that_does_not_answer_keeps_its_last_numbers_and_their_time():
    gone = seen("east", EAST, state="unreachable", reason="No route to host.")
    world = compose((NAMED[0], gone))
    assert world.regions["east"] | {"state": "unreachable", "at": NOW - 1, "known": True} == world.regions["east"]
    assert world.nodes[BACKEND]["n"]["rps"] == 2.0


def test_connections_join_the_one_service_between_two_ends():
    held = pages.Numbers(tcp_open_connections=3, tcp_read_bytes_rate=100.0)
    more = call(party("frontend"), party("backend"), service="", numbers=held)
    world = compose((seen("", replace(WEST, name="west", calls=(*WEST.calls, more))), LINKED[1]))
    (edge,) = [each for each in world.edges.values() if each["to"] == "west/default/deployment/backend"]
    assert (edge["service"], edge["n"]["rps"], edge["n"]["conns"]) == ("default/backend:8080", 12.5, 3)
    opaque = compose((seen("", replace(WEST, name="west", calls=(more,))),))
    (edge,) = opaque.edges.values()
    assert edge["n"] == {"conns": 3, "read": 100.0}


def test_only_what_differs_is_sent():
    before = compose(NAMED)
    assert changes(before, compose(NAMED)) == {}
    calls = tuple(replace(each, numbers=pages.GOOD) for each in WEST.calls)
    after = compose((seen("", replace(WEST, name="west", calls=calls)), NAMED[1]))
    assert changes(before, after) == {"edges": {"set": {CROSSING: after.edges[CROSSING]}, "drop": []}}
    assert CROSSING in changes(before, compose(NAMED[1:]))["edges"]["drop"]


def test_a_failover_and_a_cluster_that_goes_are_told_as_they_happen():
    story = Story()
    split = call(party("frontend"), party("backend", cluster="east"), answered=MIRRORED)
    story.follow(compose(NAMED), NOW)
    assert not story.events, "what is there at first is no news"
    story.follow(compose((seen("", replace(WEST, name="west", calls=(split,))), NAMED[1])), NOW + 1)
    (event,) = story.events
    assert event["kind"] == "failover"
    assert event["text"] == ("default/frontend in west calls default/backend:8080: answered by east now, was west.")
    story.follow(compose((NAMED[0], seen("east", EAST, state="unreachable", reason="No answer."))), NOW + 2)
    assert [each["text"] for each in story.events if each["kind"] == "down"] == ["east cannot be read. No answer."]


def test_a_mirror_that_is_behind_is_told_with_how_long():
    lag = Lag()
    world = compose(NAMED)
    lag.mark(world, NOW)
    assert (world.links["west>east"]["compared"], world.links["west>east"]["behind"]) == (1, [])
    (service,) = EAST.services
    changed = (NAMED[0], seen("east", replace(EAST, services=(replace(service, version="4"),))))
    for later in (NOW + 1, NOW + 5):
        world = compose(changed)
        lag.mark(world, later)
    assert world.links["west>east"]["behind"] == ["default/backend"]
    assert world.links["west>east"]["behind_since"] == NOW + 1


def test_the_age_of_numbers_does_not_depend_on_the_other_clusters_clock():
    fast = replace(EAST, now=NOW + 3600, at=NOW + 3600 - 7)
    read = heard(seen("east", None, state="connecting"), msgspec.json.encode(fast), now=NOW)
    assert (read.state, read.read_at) == ("live", NOW - 7)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b'{"version": 3}', b'{"unchanged": 1}', b'{"version": "\xff"}'),
        b'{"x": ' + b"[" * 9999 + b"]" * 9999 + b"}",
    ],
)
def test_an_answer_that_is_no_picture_is_said_to_be_none(body):
    with pytest.raises(SourceError, match="cannot be read") as told:
        heard(seen("east", None), body, now=NOW)
    assert told.value.state == "unreadable"


def test_of_a_picture_that_nobody_painted_no_more_is_kept_than_can_be_shown():
    body = msgspec.json.encode(replace(EAST, problems=("x",) * 2000))
    found = heard(seen("east", None), body, now=NOW).picture
    assert found is not None
    assert len(found.problems) == 1000


def test_credentials_of_links_never_reach_the_page():
    world = compose(NAMED)
    assert "credentials" not in world.links["west>east"]
    assert picture("west", workloads=(workload("a"),)).links == ()


async def test_an_own_api_server_that_hangs_is_told_and_ends_nothing():
    async def never():
        await asyncio.Event().wait()

    follower = Follower("east", never, lambda: None)
    with pytest.raises(SourceError, match="did not give the credentials"):
        await follower.ask("/", seconds=0.01)


def test_a_name_that_is_no_text_is_refused_before_it_reaches_anybody():
    body = msgspec.json.encode(EAST).replace(b'"east.example"', b'"\\ud800"')
    with pytest.raises(SourceError, match="cannot be read"):
        heard(seen("east", None), body, now=NOW)
