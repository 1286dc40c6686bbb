"""Pods of a StatefulSet come, go and are replaced in order."""

from isthmus.lab.controllers.statefulsets import REVISION, Step, new_pod, next_step


def stateful_set(replicas=3, **spec):
    return {
        "metadata": {"name": "db", "namespace": "shop", "uid": "u"},
        "spec": {"replicas": replicas, "serviceName": "db", "template": {"spec": {"containers": []}}, **spec},
    }


def pod(ordinal, *, revision="r2", ready=True, deleting=False, phase="Running"):
    metadata = {"name": f"db-{ordinal}", "labels": {REVISION: revision}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": metadata, "status": {"phase": phase, "conditions": conditions}}


def test_the_next_pod_waits_for_the_one_before_it():
    assert next_step(stateful_set(), [], "r2") == Step(create=(0,))
    assert next_step(stateful_set(), [pod(0, ready=False)], "r2") == Step()
    assert next_step(stateful_set(), [pod(0)], "r2") == Step(create=(1,))


def test_parallel_sets_make_all_at_once():
    assert next_step(stateful_set(podManagementPolicy="Parallel"), [pod(1)], "r2") == Step(create=(0, 2))


def test_the_highest_number_goes_first():
    owned = [pod(0), pod(1), pod(2)]
    assert next_step(stateful_set(1), owned, "r2") == Step(delete=(owned[2],))


def test_an_update_replaces_one_pod_at_a_time_from_the_end():
    owned = [pod(0, revision="r1"), pod(1, revision="r1"), pod(2)]
    assert next_step(stateful_set(), owned, "r2") == Step(delete=(owned[1],))
    waiting = [owned[0], owned[1], pod(2, ready=False)]
    assert next_step(stateful_set(), waiting, "r2") == Step()


def test_an_outdated_pod_that_never_became_ready_is_replaced_at_once():
    stuck = pod(0, revision="r1", ready=False)
    assert next_step(stateful_set(), [stuck], "r2") == Step(delete=(stuck,))


def test_a_finished_pod_makes_room_for_its_successor():
    failed = pod(1, phase="Failed")
    assert next_step(stateful_set(), [pod(0), failed], "r2") == Step(delete=(failed,))


def test_a_pod_has_a_lasting_name_and_a_host_name():
    made = new_pod(stateful_set(), 1, "r2")
    assert made["metadata"]["name"] == made["spec"]["hostname"] == "db-1"
    assert made["spec"]["subdomain"] == "db"
