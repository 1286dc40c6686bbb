"""One container of a pod through its lives: started, probed, restarted with a growing pause, stopped."""

import asyncio
import itertools
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from isthmus.lab import stamps
from isthmus.lab.images import UnknownImageError
from isthmus.lab.node import probes, processes
from isthmus.lab.node.environment import ConfigError
from isthmus.lab.node.output import Output
from isthmus.lab.node.probes import Kind
from isthmus.lab.node.processes import Launch, Process, StartError
from isthmus.lab.node.status import ContainerView, Role, restarts

BACK_OFF_FIRST: Final = 1.0
BACK_OFF_MOST: Final = 300.0
BACK_OFF_FORGOTTEN: Final = 600.0
"""A container that ran this long starts over with short pauses."""
_KILLED: Final = 128 + signal.SIGKILL
_UNKNOWN: Final = "ContainerStatusUnknown"
_TERM_BIT: Final = 1 << (signal.SIGTERM - 1)

_REFUSALS: Final[Mapping[type[Exception], tuple[str, str, str]]] = {
    UnknownImageError: ("ErrImagePull", "ImagePullBackOff", "Failed"),
    ConfigError: ("CreateContainerConfigError", "CreateContainerConfigError", "Failed"),
    StartError: ("RunContainerError", "CrashLoopBackOff", "Failed"),
}
"""Why a container was not started -> reason shown first, reason while it waits for another try, the event's reason."""


class Host(Protocol):
    """What a container asks of its pod."""

    restart_policy: str
    title: str
    """How messages name the pod: NAME_NAMESPACE(UID)."""

    def changed(self) -> None:
        """The view of a container is another one now."""
        ...

    def event(self, reason: str, message: str, *, container: str, warning: bool = False) -> None: ...

    async def launch(self, spec: Mapping[str, Any], identifier: str) -> Launch:
        """Make ready what a container needs; raises UnknownImageError, ConfigError or StartError."""
        ...

    def discard(self, launch: Launch) -> None:
        """The container is gone: so may be what it wrote."""
        ...

    def address(self) -> str: ...

    def log_file(self, container: str, restart: int) -> Path: ...


class Container:
    """A container. `supervise` runs it until it has ended for good; `stop` makes that happen soon."""

    def __init__(
        self, spec: Mapping[str, Any], role: Role, host: Host, *, waiting: str = "ContainerCreating", restarts: int = 0
    ) -> None:
        self.spec = spec
        self.host = host
        state = {"waiting": {"reason": waiting}}
        self.view = ContainerView(str(spec["name"]), role, str(spec["image"]), state=state, restarts=restarts)
        self.process: Process | None = None
        self.output: Output | None = None
        self.launched: Launch | None = None
        self._stopping = asyncio.Event()
        self._started = asyncio.Event()
        self._grace = float("inf")

    @property
    def name(self) -> str:
        return self.view.name

    def show(self, **changes: Any) -> None:
        """Change the view, and say so."""
        view = replace(self.view, **changes)
        if view != self.view:
            self.view = view
            self.host.changed()

    def wait_in(self, reason: str, message: str = "") -> None:
        state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        last = self.view.state if "terminated" in self.view.state else self.view.last_state
        self.show(state=state, last_state=last, ready=False, started=False)

    async def until_started(self) -> None:
        """Return when it has started (its startup probe has passed, if it has one) or will never."""
        await self._started.wait()

    async def supervise(self) -> None:
        """Run, and run again as the restart policy says, until the container has ended for good."""
        try:
            for pause in self._pauses():
                if await self._pause(pause):
                    break
                if not await self._live_once():
                    break
        finally:
            self._started.set()
            if not self.view.ended:
                self._show_ended(_KILLED, reason=_UNKNOWN if not self._stopping.is_set() else "Error")

    def lose(self, reported: Mapping[str, Any]) -> None:
        """It will not run (again): it ended as was reported, or nobody knows how."""
        if "terminated" in reported:
            self.show(state=reported)
        elif not self.view.ended:
            self._show_ended(_KILLED, reason=_UNKNOWN)

    def _pauses(self) -> Iterator[float | None]:
        """None before the first start, 0 before the first restart, then growing."""
        yield None
        attempt = itertools.count()
        while True:
            began = time.monotonic()
            number = next(attempt)
            yield 0.0 if number == 0 and self.launched else min(BACK_OFF_FIRST * 2 ** max(number - 1, 0), BACK_OFF_MOST)
            if time.monotonic() - began > BACK_OFF_FORGOTTEN:
                attempt = itertools.count()

    async def _pause(self, seconds: float | None) -> bool:
        """Wait before a restart; whether the container is to stop instead."""
        if seconds is None:
            return self._stopping.is_set()
        if seconds:
            if "terminated" in self.view.state:
                message = f"back-off {seconds:g}s restarting failed container={self.name} pod={self.host.title}"
                self.wait_in("CrashLoopBackOff", message)
                self.host.event(
                    "BackOff",
                    f"Back-off restarting failed container {self.name} in pod {self.host.title}",
                    container=self.name,
                    warning=True,
                )
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
        return self._stopping.is_set()

    async def _live_once(self) -> bool:
        """One life; whether there is to be another."""
        try:
            launch = await self.host.launch(self.spec, uuid4().hex)
            again = self.launched is not None
            process = await processes.start(launch)
        except (UnknownImageError, ConfigError, StartError) as error:
            self._refused(error)
            return not self._stopping.is_set()
        if again:
            self.show(restarts=self.view.restarts + 1)
        self.launched, self.process = launch, process
        self.output = Output(process, self.host.log_file(self.name, self.view.restarts), replay=launch.tty)
        began = stamps.now()
        self.show(
            state={"running": {"startedAt": began}},
            last_state=self.view.state if "terminated" in self.view.state else self.view.last_state,
            container_id=f"isthmus://{launch.root.name}",
        )
        self.host.event("Created", f"Created container: {self.name}", container=self.name)
        self.host.event("Started", f"Started container {self.name}", container=self.name)
        try:
            code = await self._until_exit(process, self.output)
        finally:
            process.kill()
            process.close()
            self.process = None
            self.host.discard(launch)
        self._show_ended(code, began=began)
        return not self._stopping.is_set() and restarts(self.view.role, self.host.restart_policy, code)

    def _refused(self, error: Exception) -> None:
        first, later, event = _REFUSALS[type(error)]
        shown = self.view.state.get("waiting", {}).get("reason", "")
        self.wait_in(later if shown == first else first, str(error))
        text = f"Failed to pull image: {error}" if isinstance(error, UnknownImageError) else f"Error: {error}"
        self.host.event(event, text, container=self.name, warning=True)

    def _show_ended(self, code: int, *, began: str = "", reason: str = "") -> None:
        reason = reason or ("Completed" if code == 0 else "Error")
        state: dict[str, Any] = {"exitCode": code, "reason": reason, "finishedAt": stamps.now()}
        if began:
            state["startedAt"] = began
        if self.view.container_id:
            state["containerID"] = self.view.container_id
        self.show(state={"terminated": state}, ready=False, started=False)

    async def _until_exit(self, process: Process, output: Output) -> int:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(output.run())
            watching = group.create_task(self._look_after(process))
            stopping = group.create_task(self._stop_when_told(process))
            code = await process.wait()
            watching.cancel()
            stopping.cancel()
            # Whatever the container wrote is in the pipes; nobody is left to hold their other end.
            await writing
        return code

    async def _look_after(self, process: Process) -> None:
        """The start hook, then the startup probe, then readiness and liveness for as long as it lives."""
        if not await self._hook("postStart", process):
            await self._end(process, self._grace_seconds())
            return
        if (probe := probes.probe_of(self.spec, Kind.STARTUP)) and not await self._probe(probe, process):
            return
        readiness = probes.probe_of(self.spec, Kind.READINESS)
        self.show(started=True, ready=readiness is None)
        self._started.set()
        async with asyncio.TaskGroup() as group:
            if readiness:
                group.create_task(self._probe(readiness, process))
            if probe := probes.probe_of(self.spec, Kind.LIVENESS):
                group.create_task(self._probe(probe, process))

    async def _hook(self, name: str, process: Process) -> bool:
        """Do what the lifecycle hook says, if there is one; False when it failed."""
        hook = (self.spec.get("lifecycle") or {}).get(name)
        trouble = await probes.perform(hook, self.target(process)) if hook else ""
        if trouble:
            self.host.event(f"Failed{name[0].upper()}{name[1:]}Hook", trouble, container=self.name, warning=True)
        return not trouble

    async def _probe(self, probe: probes.Probe, process: Process) -> bool:
        """Follow one probe; True once a startup probe has passed, False when the container is ended for it."""
        target = self.target(process)
        async for outcome in probes.outcomes(probe, lambda: probes.perform(probe.action, target)):
            if outcome.message and not self._stopping.is_set():
                text = f"{probe.kind} probe failed: {outcome.message}"
                self.host.event("Unhealthy", text, container=self.name, warning=True)
            if probe.kind is Kind.READINESS and outcome.verdict is not None:
                self.show(ready=outcome.verdict)
            elif outcome.verdict is False and not self._stopping.is_set():
                text = f"Container {self.name} failed {probe.kind.lower()} probe, will be restarted"
                self.host.event("Killing", text, container=self.name)
                await self._end(process, self._grace_seconds())
                return False
            elif outcome.verdict and probe.kind is Kind.STARTUP:
                return True
        return False

    def target(self, process: Process) -> probes.Target:
        async def run(command: Sequence[str]) -> tuple[int, str]:
            assert self.launched is not None
            return await processes.run_inside(
                process.pid, command, self.launched.environment, privileges=self.launched.privileges
            )

        return probes.Target(self.host.address(), probes.ports_of(self.spec), run)

    def stop(self, grace: float) -> None:
        """End it within `grace` seconds and do not start it again. A later call may only shorten the time."""
        self._grace = min(self._grace, grace)
        self._stopping.set()

    async def _stop_when_told(self, process: Process) -> None:
        await self._stopping.wait()
        self.host.event("Killing", f"Stopping container {self.name}", container=self.name)
        await self._end(process, self._grace)

    async def _end(self, process: Process, grace: float) -> None:
        """The stop hook, a polite signal, and after the grace period the other one."""
        try:
            async with asyncio.timeout(max(grace, 0.0)):
                await self._hook("preStop", process)
                if listens_to_term(process.pid):
                    process.signal(signal.SIGTERM)
                    await process.wait()
        except TimeoutError:
            pass
        process.kill()

    def _grace_seconds(self) -> float:
        return float(self.spec.get("terminationGracePeriodSeconds") or 30)


def listens_to_term(pid: int, read: Callable[[int], str] | None = None) -> bool:
    """Whether a first process handles SIGTERM. If not, the kernel drops the signal and waiting would be in vain."""
    try:
        status = read(pid) if read else Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) & _TERM_BIT)
    return False
