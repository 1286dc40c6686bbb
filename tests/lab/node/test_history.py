"""What becomes of pods whose node process ended: they go on, are restarted and counted, or are given up honestly."""

import pytest

from isthmus.lab.node import history

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
DONE = {"terminated": {"exitCode": 0}}
WAITING = {"waiting": {"reason": "ContainerCreating"}}


def pod(policy="Always", *, phase="Running", **states):
    reports = [
        {"name": name, "state": state, "restartCount": 2} | ({} if state is WAITING else {"containerID": "isthmus://1"})
        for name, state in states.items()
    ]
    return {"spec": {"restartPolicy": policy}, "status": {"phase": phase, "containerStatuses": reports}}


def test_what_had_started_is_restarted_once_more_and_what_waited_is_not():
    assert history.restart_counts(pod(app=RUNNING, crashed=DONE, late=WAITING)) == {"app": 3, "crashed": 3, "late": 2}


def test_a_pod_that_may_run_only_once_is_not_started_again():
    assert history.spent(pod("Never", app=RUNNING))
    assert history.restart_counts(pod("Never", app=RUNNING)) == {"app": 2}


@pytest.mark.parametrize(("policy", "state"), [("Always", RUNNING), ("OnFailure", RUNNING), ("Never", WAITING)])
def test_a_pod_that_may_run_again_or_never_ran_is_started(policy, state):
    assert not history.spent(pod(policy, app=state))


@pytest.mark.parametrize(("phase", "over"), [("Succeeded", True), ("Failed", True), ("Running", False)])
def test_a_finished_pod_stays_finished(phase, over):
    assert history.finished(pod(phase=phase)) is over


def test_a_new_pod_has_no_history():
    new = {"spec": {}}
    assert (history.finished(new), history.spent(new), history.restart_counts(new)) == (False, False, {})
