"""The frame of every `check`: categories of checks, run in order, told in Linkerd's format.

A check is a function that returns when all is well and raises `Problem` when not. A check that can come true by itself
(pods starting, addresses pending) is `retryable`: it is asked again until the deadline, and stderr tells the wait.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import click

from isthmus.kube import errors

Result = Literal["success", "warning", "error"]
MARKS: Final[dict[Result, str]] = {"success": "√", "warning": "‼", "error": "×"}  # noqa: RUF001
HINTS: Final = "https://linkerd.io/2/checks/#"
RETRY_SECONDS: Final = 0.5
"""How long to wait before a retryable check is asked again."""


class Problem(Exception):
    """A check that failed: what is wrong, with which object, and what to do next."""


class Settled(Problem):
    """A check that failed and will not come true by waiting."""


class Remark(Settled):
    """Something to know that fails no command: mostly what follows from a failure that an earlier check told."""


FINAL: Final = (Settled, errors.Forbidden, errors.Unauthorized)
"""What no waiting changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`fatal`: the rest cannot be judged without it. `warning`: a failure does not fail the command.

    `patience`: seconds after the beginning of all checks when what is still wrong is not just starting, but broken.
    """

    description: str
    anchor: str
    run: Callable[[], None]
    fatal: bool = False
    warning: bool = False
    retryable: bool = False
    patience: float = math.inf


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    checks: Sequence[Check]


@dataclass(frozen=True, slots=True)
class Outcome:
    check: Check
    result: Result
    error: str = ""


def run(categories: Iterable[Category], *, output: str, wait: float) -> bool:
    """Runs and prints everything; True when no check failed (warnings do not count). `wait` is in seconds."""
    began = time.monotonic()
    told: list[tuple[str, list[Outcome]]] = []
    for category in categories:
        outcomes: list[Outcome] = []
        told.append((category.name, outcomes))
        if output == "table":
            click.echo(f"{category.name}\n{'-' * len(category.name)}")
        for check in category.checks:
            outcome = _judge(check, began + min(wait, check.patience))
            outcomes.append(outcome)
            if output != "json":
                _print(outcome, quiet=output == "short")
            if outcome.result == "error" and check.fatal:
                if output == "table":
                    click.echo()
                return _finish(told, output)
        if output == "table":
            click.echo()
    return _finish(told, output)


def _judge(check: Check, deadline: float) -> Outcome:
    told = ""
    while True:
        try:
            check.run()
        except (Problem, errors.KubeError) as problem:
            waiting = check.retryable and not isinstance(problem, FINAL)
            if waiting and time.monotonic() + RETRY_SECONDS < deadline:
                if str(problem) != told:
                    told = str(problem)
                    click.echo(f"waiting until {check.description}: {told}", err=True)
                time.sleep(RETRY_SECONDS)
                continue
            mild = check.warning or isinstance(problem, Remark)
            return Outcome(check, "warning" if mild else "error", str(problem))
        return Outcome(check, "success")


def _print(outcome: Outcome, *, quiet: bool) -> None:
    if quiet and outcome.result == "success":
        return
    click.echo(f"{MARKS[outcome.result]} {outcome.check.description}")
    if outcome.error:
        for line in outcome.error.splitlines():
            click.echo(f"    {line}")
        click.echo(f"    see {HINTS}{outcome.check.anchor} for hints")


def _finish(told: Sequence[tuple[str, Sequence[Outcome]]], output: str) -> bool:
    passed = all(outcome.result != "error" for _, outcomes in told for outcome in outcomes)
    if output == "json":
        click.echo(json.dumps({"success": passed, "categories": [_json(*entry) for entry in told]}, indent=2))
    else:
        click.echo(f"Status check results are {MARKS['success' if passed else 'error']}")
    return passed


def _json(name: str, outcomes: Sequence[Outcome]) -> dict[str, object]:
    checks = []
    for outcome in outcomes:
        entry = {"description": outcome.check.description, "result": outcome.result}
        if outcome.error:
            entry |= {"hint": HINTS + outcome.check.anchor, "error": outcome.error}
        checks.append(entry)
    return {"categoryName": name, "checks": checks}
