"""How checks are told: Linkerd's lines, its JSON, and its exit code."""

import json

import pytest

from isthmus.cli import health
from isthmus.cli.health import Category, Check, Problem, Remark, Settled
from isthmus.kube import errors


def passing():
    return Check(description="it works", anchor="works", run=lambda: None)


def failing(**flags):
    def run():
        raise Problem("Deployment x has 0 of 1 replicas ready")

    return Check(description="it is ready", anchor="ready", run=run, **flags)


def test_a_failure_is_told_with_its_cause_and_a_hint(capsys):
    assert not health.run([Category("kubernetes-api", [passing(), failing()])], output="table", wait=0)
    assert capsys.readouterr().out.splitlines() == [
        "kubernetes-api",
        "--------------",
        "√ it works",
        "× it is ready",  # noqa: RUF001
        "    Deployment x has 0 of 1 replicas ready",
        "    see https://linkerd.io/2/checks/#ready for hints",
        "",
        "Status check results are ×",  # noqa: RUF001
    ]


def test_a_warning_does_not_fail_the_command(capsys):
    assert health.run([Category("c", [failing(warning=True)])], output="table", wait=0)
    out = capsys.readouterr().out
    assert "‼ it is ready" in out
    assert out.endswith("Status check results are √\n")


def test_after_a_fatal_failure_nothing_more_is_judged(capsys):
    def never():
        pytest.fail("judged after a fatal failure")

    later = Check(description="later", anchor="later", run=never)
    assert not health.run([Category("c", [failing(fatal=True), later]), Category("d", [later])], output="table", wait=0)
    assert "later" not in capsys.readouterr().out


def test_a_retryable_check_is_asked_until_it_comes_true(capsys, monkeypatch):
    monkeypatch.setattr(health, "RETRY_SECONDS", 0.001)
    answers = iter([False, False, True])

    def run():
        if not next(answers):
            raise Problem("not yet")

    check = Check(description="starts", anchor="a", run=run, retryable=True)
    assert health.run([Category("c", [check])], output="table", wait=5)
    out, err = capsys.readouterr()
    assert "not yet" not in out
    assert err == "waiting until starts: not yet\n"


FORBIDDEN = errors.Forbidden("forbids to list pods", code=403)


@pytest.mark.parametrize(
    ("problem", "patience"), [(Settled("not installed"), 60.0), (Problem("broken"), 0.0), (FORBIDDEN, 60.0)]
)
def test_nobody_waits_for_what_will_not_come(capsys, problem, patience):
    def run():
        raise problem

    check = Check(description="starts", anchor="a", run=run, retryable=True, patience=patience)
    assert not health.run([Category("c", [check])], output="table", wait=60)
    assert "waiting" not in capsys.readouterr().err


def test_json_holds_every_check_with_its_result(capsys):
    health.run([Category("c", [passing(), failing()])], output="json", wait=0)
    document = json.loads(capsys.readouterr().out)
    assert document["success"] is False
    assert [check["result"] for check in document["categories"][0]["checks"]] == ["success", "error"]
    assert document["categories"][0]["checks"][1]["error"] == "Deployment x has 0 of 1 replicas ready"


def test_what_only_follows_from_another_failure_is_told_and_fails_nothing(capsys):
    def run():
        raise Remark("because nobody runs (above)")

    check = Check(description="it answers", anchor="a", run=run, retryable=True)
    assert health.run([Category("c", [check])], output="table", wait=60)
    assert "‼ it answers\n    because nobody runs (above)" in capsys.readouterr().out
