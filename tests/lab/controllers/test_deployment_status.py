"""What a Deployment says of itself is what `kubectl rollout status` and `kubectl wait` need to be told."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.lab import stamps
from isthmus.lab.controllers.deployment_status import COMPLETE, TIMED_OUT, status_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def deployment(replicas=2, *, status=None, **spec):
    metadata = {"name": "web", "generation": 3}
    return {"metadata": metadata, "spec": {"replicas": replicas, **spec}, "status": status or {}}


def replica_set(replicas, available, *, conditions=()):
    status = {"replicas": replicas, "readyReplicas": available, "availableReplicas": available}
    return {"metadata": {"name": "web-1"}, "status": status | {"conditions": list(conditions)}}


def told(item, owned, newest, now=NOW):
    status, wait = status_of(item, owned, newest, now)
    return status, {found["type"]: found for found in status["conditions"]}, wait


def test_a_finished_rollout_is_available_and_complete_and_waits_for_nothing():
    newest = replica_set(2, 2)
    status, conditions, wait = told(deployment(), [newest], newest)
    assert (status["updatedReplicas"], status["unavailableReplicas"], status["observedGeneration"]) == (2, 0, 3)
    assert (conditions["Available"]["status"], conditions["Progressing"]["reason"], wait) == ("True", COMPLETE, None)


def test_pods_of_an_older_template_keep_it_available_but_not_complete():
    old, newest = replica_set(2, 2), replica_set(1, 0)
    status, conditions, _ = told(deployment(), [old, newest], newest)
    assert (status["replicas"], status["updatedReplicas"]) == (3, 1)
    assert (conditions["Available"]["status"], conditions["Progressing"]["reason"]) == ("True", "ReplicaSetUpdated")


@pytest.mark.parametrize(("seconds", "reason"), [(9, "ReplicaSetUpdated"), (10, TIMED_OUT)])
def test_a_rollout_that_does_not_move_times_out_at_its_deadline(seconds, reason):
    newest = replica_set(2, 0)
    began, _ = status_of(deployment(progressDeadlineSeconds=10), [newest], newest, NOW)
    later = NOW + timedelta(seconds=seconds)
    _, conditions, wait = told(deployment(progressDeadlineSeconds=10, status=began), [newest], newest, later)
    assert conditions["Progressing"]["reason"] == reason
    assert wait is None if reason == TIMED_OUT else wait == 2


def test_progress_starts_the_deadline_anew():
    began, _ = status_of(deployment(progressDeadlineSeconds=10), [], replica_set(0, 0), NOW)
    newest, later = replica_set(2, 0), NOW + timedelta(seconds=60)
    _, conditions, _ = told(deployment(progressDeadlineSeconds=10, status=began), [newest], newest, later)
    assert conditions["Progressing"]["lastUpdateTime"] == stamps.written(later)
    assert conditions["Progressing"]["status"] == "True"


def test_why_pods_cannot_be_made_shows_above_and_goes_when_they_can():
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "denied"}
    refused = replica_set(0, 0, conditions=[failure])
    status, conditions, _ = told(deployment(), [refused], refused)
    assert conditions["ReplicaFailure"]["message"] == "denied"
    newest = replica_set(1, 0)
    _, conditions, _ = told(deployment(status=status), [newest], newest)
    assert "ReplicaFailure" not in conditions


def test_a_paused_deployment_says_so():
    newest = replica_set(2, 2)
    _, conditions, _ = told(deployment(paused=True), [newest], newest)
    assert (conditions["Progressing"]["status"], conditions["Progressing"]["reason"]) == ("Unknown", "DeploymentPaused")
