"""Long work shown as it happens: one line per step with the command, its result and how long it took.

On a terminal the running step has a live clock; otherwise each line is printed once, when the step ends.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

STEP_TIMEOUT = 180.0
"""Seconds one command may take before the step fails."""


class StepFailed(Exception):
    """A command of a step failed; the message says which and what it printed."""


@dataclass
class Steps:
    """Runs shell commands in order, tells about each, and remembers the times."""

    environment: Mapping[str, str]
    echo: Callable[[str], None]
    live: bool = field(default_factory=sys.stdout.isatty)
    times: list[tuple[str, float]] = field(default_factory=list)

    def run(self, title: str, commands: Sequence[str], result: Callable[[list[str]], str] | None = None) -> list[str]:
        """Runs the commands of one step side by side; returns what each printed.

        `result` turns the outputs into the one line that is shown. Raises StepFailed on the first command that fails.
        """
        started = time.monotonic()
        self.echo(f"\n{title}")
        for command in commands:
            self.echo(f"  $ {command}")
        with ThreadPoolExecutor(len(commands)) as pool:
            futures = [pool.submit(self._command, command) for command in commands]
            self._wait(futures, started)
            outputs = [future.result() for future in futures]
        took = time.monotonic() - started
        self.times.append((title, took))
        line = result(outputs) if result else _last_line(outputs)
        self.echo(f"  {line}  ({took:.1f} s)")
        return outputs

    def _wait(self, futures: Sequence[object], started: float) -> None:
        if not self.live:
            return
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        spinner = Spinner("dots")
        with Live(spinner, console=Console(), transient=True, refresh_per_second=10):
            while not all(future.done() for future in futures):  # type: ignore[attr-defined]
                spinner.update(text=f"{time.monotonic() - started:.0f} s")
                time.sleep(0.1)

    def _command(self, command: str) -> str:
        try:
            done = subprocess.run(
                ["/bin/bash", "-o", "pipefail", "-c", command],
                env=dict(self.environment),
                capture_output=True,
                text=True,
                timeout=STEP_TIMEOUT,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"`{command}` did not finish within {STEP_TIMEOUT:.0f} s") from None
        if done.returncode:
            printed = (done.stdout + done.stderr).strip()
            raise StepFailed(f"`{command}` failed with exit code {done.returncode}:\n{printed}")
        return done.stdout


def _last_line(outputs: Sequence[str]) -> str:
    lines = [line for output in outputs for line in output.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "done"
