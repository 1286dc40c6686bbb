"""A pod's phase and conditions follow from the states of its containers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.node import status
from isthmus.lab.node.status import ContainerView, Role

WAITING = {"waiting": {"reason": "ContainerCreating"}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
DONE = {"terminated": {"exitCode": 0}}
FAILED = {"terminated": {"exitCode": 3}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}


def view(role=Role.MAIN, state=RUNNING, last=None, *, ready=False, started=False, name="c"):
    return ContainerView(name, role, "image", state, last or {}, ready=ready, started=started)


@pytest.mark.parametrize(
    ("policy", "views", "expected"),
    [
        ("Always", [view(state=WAITING)], "Pending"),
        ("Always", [view()], "Running"),
        ("Always", [view(state=DONE)], "Running"),
        ("Always", [view(state=BACK_OFF, last=FAILED)], "Running"),
        ("Never", [view(state=DONE)], "Succeeded"),
        ("Never", [view(state=FAILED)], "Failed"),
        ("Never", [view(state=FAILED), view()], "Running"),
        ("Never", [view(state=FAILED), view(state=WAITING)], "Pending"),
        ("OnFailure", [view(state=DONE), view(state=DONE)], "Succeeded"),
        ("OnFailure", [view(state=FAILED)], "Running"),
        ("OnFailure", [view(state=BACK_OFF, last=FAILED)], "Running"),
        ("Never", [view(Role.INIT, FAILED), view(state=WAITING)], "Failed"),
        ("Always", [view(Role.INIT, BACK_OFF, FAILED), view(state=WAITING)], "Pending"),
        ("Always", [view(Role.INIT, RUNNING), view(state=WAITING)], "Pending"),
        ("Never", [view(Role.SIDECAR, RUNNING), view(state=DONE)], "Running"),
        ("Never", [view(Role.SIDECAR, FAILED), view(state=DONE)], "Succeeded"),
    ],
)
def test_phase(policy, views, expected):
    assert status.phase(views, policy) == expected


@pytest.mark.parametrize(
    ("role", "policy", "exit_code", "again"),
    [
        (Role.MAIN, "Always", 0, True),
        (Role.MAIN, "OnFailure", 0, False),
        (Role.MAIN, "OnFailure", 1, True),
        (Role.MAIN, "Never", 1, False),
        (Role.INIT, "Always", 0, False),
        (Role.INIT, "Always", 1, True),
        (Role.INIT, "Never", 1, False),
        (Role.SIDECAR, "Never", 0, True),
    ],
)
def test_who_is_started_again(role, policy, exit_code, again):
    assert status.restarts(role, policy, exit_code) is again


def told(views, **changes):
    arguments = {"phase": "Running", "sandbox": True, "gates": (), "seen": ()} | changes
    return {kind: (truth, reason) for kind, truth, reason, _ in status.conditions(views, **arguments)}


def test_a_pod_is_ready_when_all_lasting_containers_are():
    views = [view(Role.INIT, DONE), view(Role.SIDECAR, ready=True, started=True), view(ready=True)]
    assert told(views)["Ready"] == (True, "")
    assert told([*views, view(name="late")])["Ready"] == (False, "ContainersNotReady")


def test_a_sidecar_that_has_not_started_holds_up_initialization():
    assert told([view(Role.SIDECAR), view(state=WAITING)])["Initialized"] == (False, "ContainersNotInitialized")
    assert told([view(Role.SIDECAR, started=True), view(state=WAITING)])["Initialized"] == (True, "")


def test_readiness_gates_are_somebody_elses_to_open():
    views = [view(ready=True)]
    assert told(views, gates=["example.com/gate"])["Ready"] == (False, "ReadinessGatesNotReady")
    opened = [{"type": "example.com/gate", "status": "True"}]
    assert told(views, gates=["example.com/gate"], seen=opened)["Ready"] == (True, "")


def test_a_completed_pod_says_so():
    assert told([view(state=DONE)], phase="Succeeded")["Ready"] == (False, "PodCompleted")


def test_a_condition_keeps_its_time_until_its_truth_changes():
    first = status.merge_conditions([("Ready", False, "", "")], [], "t1")
    same = status.merge_conditions([("Ready", False, "Other", "")], first, "t2")
    other = status.merge_conditions([("Ready", True, "", "")], same, "t3")
    assert [one[0]["lastTransitionTime"] for one in (first, same, other)] == ["t1", "t1", "t3"]


def test_conditions_of_others_are_kept():
    theirs = {"type": "example.com/gate", "status": "True"}
    assert theirs in status.merge_conditions([("Ready", True, "", "")], [theirs], "t")


states = st.sampled_from([WAITING, RUNNING, DONE, FAILED, BACK_OFF])


@given(st.lists(states, min_size=1, max_size=4), st.sampled_from(["Always", "OnFailure", "Never"]))
def test_a_pod_with_a_running_container_is_never_over(found, policy):
    views = [view(state=state, last=FAILED if state is BACK_OFF else None) for state in found]
    phase = status.phase(views, policy)
    if RUNNING in found or policy == "Always":
        assert phase in ("Pending", "Running")
    if phase == "Succeeded":
        assert all(state is DONE for state in found)


def test_the_whole_status_shows_init_containers_apart():
    pod = {"spec": {"containers": [{}], "initContainers": [{}]}}
    views = [view(Role.INIT, DONE, name="init"), view(ready=True, name="main")]
    found = status.pod_status(
        pod, views, pod_ip="10.244.0.2", node_ip="172.30.0.11", started_at="t0", now="t1", seen=[]
    )
    assert [one["name"] for one in found["containerStatuses"]] == ["main"]
    assert [one["ready"] for one in found["initContainerStatuses"]] == [True]
    assert (found["phase"], found["podIP"]) == ("Running", "10.244.0.2")
