"""Streams as transcripts: what the proxy says, what it is answered."""

from collections.abc import Iterable
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2

from isthmus.destination import wire
from isthmus.destination.session import ACTIONS, MISSING, PENDING, Action, Answer, Says, Session, Told
from isthmus.envoy.resources import encode

A, B = "outbound/10.96.0.1:80", "outbound/10.96.0.2:80"


class Book:
    """Resources that a test writes down; remembers what was subscribed."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.subscribed: set[str] = set()
        self.all: tuple[str, ...] = ()
        self.too_many: list[str] = []
        self.offers: list[str] = []

    def write(self, name: str, seconds: int, *, provisional: bool = False) -> None:
        message = cluster_pb2.Cluster(name=name)
        message.connect_timeout.seconds = seconds
        self.pages[name] = wire.serve(encode(message), provisional=provisional)

    def subscribe(self, type_url: str, name: str) -> None:
        self.subscribed.add(name)

    def unsubscribe(self, type_url: str, name: str) -> None:
        self.subscribed.discard(name)

    def answer(self, type_url: str, name: str) -> Answer:
        return self.pages.get(name, MISSING)

    def everything(self, type_url: str) -> tuple[str, ...]:
        return self.all

    def offered(self, type_url: str, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.offers]

    def surplus(self, type_url: str) -> list[str]:
        return [name for name in self.too_many if name in self.subscribed]


class Transcript:
    """`says` and `changes` return what the proxy hears: `+name` sent, `-name` removed."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.session = Session(book, peer="proxy shop/web")
        self.last: Any = None

    def says(self, *subscribe: str, unsubscribe: tuple[str, ...] = (), **fields: Any) -> list[str]:
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=wire.CLUSTER,
            resource_names_subscribe=subscribe,
            resource_names_unsubscribe=unsubscribe,
            **fields,
        )
        return self._heard(self.session.receive(request))

    def acknowledges(self, **fields: Any) -> list[str]:
        return self.says(response_nonce=self.last.nonce, **fields)

    def changes(self, *names: str) -> list[str]:
        return self._heard(self.session.refresh((wire.CLUSTER, name) for name in names))

    def _heard(self, bodies: list[bytes]) -> list[str]:
        assert len(bodies) <= 1
        if not bodies:
            return []
        self.last = discovery_pb2.DeltaDiscoveryResponse.FromString(bodies[0])
        sent = [f"+{each.name}" for each in self.last.resources]
        return sent + [f"-{name}" for name in self.last.removed_resources]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def talk(book: Book) -> Transcript:
    return Transcript(book)


def test_every_case_of_the_table_is_decided() -> None:
    impossible = {(Told.NOTHING, Says.SAME), (Told.ABSENT, Says.SAME)}
    assert {(told, says) for told in Told for says in Says} - impossible == ACTIONS.keys()


def test_a_subscription_is_answered_with_the_resource(book: Book, talk: Transcript) -> None:
    book.write(A, 1)
    assert talk.says(A) == [f"+{A}"]
    resource = talk.last.resources[0]
    assert cluster_pb2.Cluster.FromString(resource.resource.value).connect_timeout.seconds == 1
    assert (talk.last.type_url, resource.resource.type_url) == (wire.CLUSTER, wire.CLUSTER)
    assert talk.acknowledges() == []


def test_a_name_that_does_not_exist_is_removed_at_once(talk: Transcript) -> None:
    assert talk.says(A) == [f"-{A}"]


def test_a_name_that_begins_to_exist_is_sent_without_being_asked_again(book: Book, talk: Transcript) -> None:
    talk.says(A)
    book.write(A, 1)
    assert talk.changes(A) == [f"+{A}"]


def test_a_second_subscription_is_answered_again(book: Book, talk: Transcript) -> None:
    book.write(A, 1)
    assert talk.says(A) == [f"+{A}"]
    assert talk.says(A) == [f"+{A}"]
    assert talk.says(B) == [f"-{B}"]
    assert talk.says(B) == [f"-{B}"]


def test_what_did_not_change_is_not_sent(book: Book, talk: Transcript) -> None:
    book.write(A, 1)
    talk.says(A)
    assert talk.changes(A) == []
    book.write(A, 2)
    assert talk.changes(A) == [f"+{A}"]


def test_what_is_not_known_yet_is_answered_when_it_is(book: Book, talk: Transcript) -> None:
    book.pages[A] = PENDING
    assert talk.says(A) == []
    assert talk.changes(A) == []
    book.write(A, 1)
    assert talk.changes(A) == [f"+{A}"]
    book.pages[A] = PENDING
    assert talk.changes(A) == []


def test_a_provisional_answer_is_for_those_who_know_nothing_better(book: Book, talk: Transcript) -> None:
    book.write(A, 0, provisional=True)
    book.write(B, 0, provisional=True)
    assert talk.says(A, B, initial_resource_versions={A: "told by this process in another life"}) == [f"+{B}"]
    book.write(A, 1)
    book.write(B, 1)
    assert talk.changes(A, B) == [f"+{A}", f"+{B}"]
    book.write(A, 0, provisional=True)
    assert talk.changes(A) == []


def test_a_resource_that_ends_is_removed_once(book: Book, talk: Transcript) -> None:
    book.write(A, 1)
    talk.says(A)
    del book.pages[A]
    assert talk.changes(A) == [f"-{A}"]
    assert talk.changes(A) == []


def test_after_unsubscribing_nothing_is_said(book: Book, talk: Transcript) -> None:
    book.write(A, 1)
    talk.says(A, B)
    assert talk.says(unsubscribe=(A,)) == []
    book.write(A, 2)
    assert talk.changes(A) == []
    assert book.subscribed == {B}


def test_a_reconnecting_proxy_gets_only_what_differs(book: Book, talk: Transcript) -> None:
    book.write(A, 1)
    book.write(B, 1)
    talk.says(A, B)
    versions = {each.name: each.version for each in talk.last.resources}
    book.write(B, 2)
    again = Transcript(book)
    assert again.says(A, B, initial_resource_versions=versions) == [f"+{B}"]


def test_a_reconnecting_proxy_hears_of_what_ended_meanwhile(book: Book, talk: Transcript) -> None:
    assert talk.says(A, initial_resource_versions={A: "old"}) == [f"-{A}"]


def test_a_first_request_without_names_asks_for_everything(book: Book, talk: Transcript) -> None:
    book.all = (A, B)
    book.write(A, 1)
    book.write(B, 1)
    assert talk.says() == [f"+{A}", f"+{B}"]
    book.write(B, 2)
    assert talk.changes(B) == [f"+{B}"]


def test_a_refusal_names_the_object_and_is_not_answered_with_the_same_bytes(
    book: Book, talk: Transcript, caplog: pytest.LogCaptureFixture
) -> None:
    book.write(A, 1)
    talk.says(A)
    error = status_pb2.Status(code=13, message="bad socket address")
    assert talk.acknowledges(error_detail=error) == []
    assert talk.session.refused == 1
    for part in ("proxy shop/web", A, "bad socket address"):
        assert part in caplog.text
    assert talk.changes(A) == []
    book.write(A, 2)
    assert talk.changes(A) == [f"+{A}"]


def test_a_closed_stream_is_subscribed_to_nothing(book: Book, talk: Transcript) -> None:
    talk.says(A, B)
    talk.session.close()
    assert book.subscribed == set()


def test_pending_never_takes_anything_away() -> None:
    assert {action for (_, says), action in ACTIONS.items() if says is Says.PENDING} == {Action.SILENCE}


def test_names_of_which_there_are_too_many_are_removed_and_forgotten(book: Book, talk: Transcript) -> None:
    book.write(A, 1)
    book.write(B, 1)
    assert talk.says(A) == [f"+{A}"]
    book.too_many = [A]
    assert talk.says(B) == [f"+{B}", f"-{A}"]
    assert book.subscribed == {B}
    book.write(A, 2)
    assert talk.changes(A) == []
    book.too_many, book.offers = [], [A]
    assert talk.changes(A) == [f"+{A}"]
    assert book.subscribed == {A, B}


def test_endpoints_follow_a_changed_cluster_though_they_are_the_same() -> None:
    """A proxy warms a changed cluster until it hears endpoints for it, and does not ask for them again."""
    book = Book()
    book.write(A, 1)
    session = Session(book, peer="proxy shop/web")
    for type_url in (wire.CLUSTER, wire.ENDPOINTS):
        session.receive(discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=[A]))
    book.write(A, 2)
    heard = [discovery_pb2.DeltaDiscoveryResponse.FromString(body) for body in session.refresh([(wire.CLUSTER, A)])]
    assert [(each.type_url, [resource.name for resource in each.resources]) for each in heard] == [
        (wire.CLUSTER, [A]),
        (wire.ENDPOINTS, [A]),
    ]
    assert session.refresh([(wire.CLUSTER, A), (wire.ENDPOINTS, A)]) == []
