"""Who talks to whom, also where one end is in another cluster."""

import pytest
from tests.viz import views

from isthmus.viz.api import Edge, EdgesQuestion, RoutesQuestion
from isthmus.viz.edges import answer
from isthmus.viz.kinds import UnknownResourceError, parse
from isthmus.viz.routes import answer as routes_answer
from isthmus.viz.tables import party


def edges(kind: str = "deploy", namespace: str = "default") -> list[Edge]:
    return list(answer(views.cluster(), EdgesQuestion(kind=kind, namespace=namespace)).edges)


def test_edges_reach_into_other_clusters_and_come_from_there() -> None:
    assert [(party(e.source), party(e.target), e.source.namespace, e.numbers.rps) for e in edges()] == [
        ("frontend", "backend", "default", 2.0),
        ("frontend", "east:deploy/backend", "default", 0.6),
        ("east:sa/shop", "backend", "market", 0.2),
    ]


def test_both_ends_say_who_they_proved_to_be() -> None:
    own = views.identity("frontend", "default")
    assert [(e.client_id, e.server_id, e.no_tls_reason) for e in edges()] == [
        (own, views.identity("backend", "default"), ""),
        (own, views.identity("backend", "default", views.OTHER_DOMAIN), ""),
        (views.identity("shop", "market", views.OTHER_DOMAIN), views.identity("backend", "default"), ""),
    ]


def test_a_pod_that_lies_about_itself_and_its_server_changes_no_identity() -> None:
    """Both are what Kubernetes and the control plane say of pods of this cluster."""
    lies = {"server_id": views.identity("admin", "kube-system", "evil.example")}
    shown = {
        ("frontend-1", "frontend"): views.requests(5, dst_pod="backend-1", **{**views.TO_BACKEND, **lies}),
        ("backend-1", "backend"): views.requests(5, **{**views.ASKED, "client_id": lies["server_id"]}),
    }
    (edge,) = answer(views.cluster(shown), EdgesQuestion(kind="deployment")).edges
    assert (edge.client_id, edge.server_id) == (
        views.identity("frontend", "default"),
        views.identity("backend", "default"),
    )


def test_an_edge_in_plain_text_says_why() -> None:
    plain = {**views.TO_BACKEND, "tls": "no_identity", "no_tls_reason": "not_provided_by_service_discovery"}
    del plain["server_id"]
    view = views.cluster({("frontend-1", "frontend"): views.requests(5, **plain)})
    (edge,) = answer(view, EdgesQuestion(kind="deployment")).edges
    assert (edge.no_tls_reason, edge.server_id, edge.client_id) == ("not_provided_by_service_discovery", "", "")


def test_edges_of_pods_name_the_pod_of_the_other_cluster() -> None:
    shown = views.requests(6, **views.STANDBY) + views.requests(6, dst_pod="backend-7", **views.STANDBY)
    view = views.cluster({("frontend-1", "frontend"): shown})
    assert [party(e.target) for e in answer(view, EdgesQuestion(kind="pod")).edges] == ["east:po/backend-7"]


def test_edges_of_another_namespace_are_others() -> None:
    assert edges(namespace="market") == []
    with pytest.raises(UnknownResourceError, match="is no end of a connection"):
        edges("svc")


def test_routes_tell_which_backend_of_which_cluster_answered() -> None:
    question = RoutesQuestion(resources=parse(["deploy/frontend"]), inbound=False)
    rows = routes_answer(views.cluster(), question).rows
    assert [(row.service, row.backend, row.numbers.rps) for row in rows] == [
        ("backend-east:8080", "backend-east (east)", 0.5),
        ("backend:8080", "backend", 2.0),
        ("backend:8080", "backend-east (east)", 0.1),
    ]


def test_routes_tell_what_a_workload_is_asked_at_each_port() -> None:
    question = RoutesQuestion(resources=parse(["deploy/backend"]), inbound=True)
    (row,) = routes_answer(views.cluster(), question).rows
    assert (row.server, row.numbers.rps) == ("[default]:8080", 2.2)
