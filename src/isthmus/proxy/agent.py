"""The main process of the proxy container: carries out `lifecycle`, one event after another.

Everything that may block (a certificate request, an admin connection, draining) runs in a forked child, so that this
process only ever waits for events. What only such work needs is imported there, and its memory given back.
"""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from isthmus.proxy import admin, lifecycle, roots
from isthmus.proxy.issued import Issued
from isthmus.proxy.rotations import Rotations
from isthmus.proxy.sds import Secrets
from isthmus.proxy.settings import Settings, SettingsError

MAX_CONNECTIONS: Final = 64
ATTEMPT_SECONDS: Final = 60
CLOCK_CHECK_SECONDS: Final = 30.0
"""The longest wait: renewal goes by the wall clock, which may jump."""
STOP_SECONDS: Final = 3.0
ACCESS_LOG_MILLISECONDS: Final = "1000"
"""A line waits for so long at most, where there is an access log; Envoy's own is ten seconds."""


class Agent:
    """One proxy."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = lifecycle.REQUESTING
        self._envoy = 0
        self._answer = bytearray()
        self._pipe = -1
        self._drainer = 0
        self._connections: set[int] = set()
        self._secrets: Secrets | None = None
        self._issued: Issued | None = None
        self._trust_anchors = roots.remembered(settings.identity_dir) or settings.trust_anchors
        self._rotations = Rotations(settings, fork=self._fork, spread=_spread)
        self._failures = 0
        self._refreshes = 0
        self._wake_at: float | None = None
        self._listener = socket.create_server(("", settings.admin_port))
        self._actions: dict[str, Callable[[], None]] = {
            lifecycle.REQUEST: self._request,
            lifecycle.RETRY_LATER: self._retry_later,
            lifecycle.START_ENVOY: self._start_envoy,
            lifecycle.RENEW_LATER: self._renew_later,
            lifecycle.DRAIN: self._drain,
            lifecycle.END_ENVOY: self._end_envoy,
            lifecycle.KILL_ENVOY: self._kill_envoy,
            lifecycle.NOTHING: lambda: None,
        }

    def run(self) -> int:
        """Live until stopped or failed; the exit code."""
        wake, wakeup = os.pipe()
        for end in (wake, wakeup):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        terminated: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: terminated.append(number))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._request()
        while self._state not in lifecycle.ENDED:
            ready = self._wait(wake)
            if wake in ready:
                os.read(wake, 512)
            while terminated:
                terminated.pop()
                self._happened(lifecycle.TERMINATE)
            if self._pipe in ready:
                self._hear_answer()
            if self._rotations.descriptor in ready and self._rotations.hear(time.monotonic()):
                self._follow_rotation()
            if self._secrets and self._secrets.descriptor in ready:
                self._secrets.hear()
            self._reap()
            if self._listener.fileno() in ready:
                self._accept()
            if self._due():
                self._wake_at = None
                self._happened(lifecycle.TIMER)
            if self._state == lifecycle.RUNNING:
                self._rotations.turn(time.monotonic())
        log("info", f"the proxy has {self._state}")
        return 0 if self._state == lifecycle.STOPPED else 1

    def _happened(self, event: str) -> None:
        self._state, action = lifecycle.step(self._state, event)
        self._actions[action]()

    # --- waiting --------------------------------------------------------------------------------------------------

    def _wait(self, wake: int) -> set[int]:
        watched = [wake]
        if len(self._connections) < MAX_CONNECTIONS:
            watched.append(self._listener.fileno())
        if self._pipe >= 0:
            watched.append(self._pipe)
        if self._secrets:
            watched.append(self._secrets.descriptor)
        now = time.monotonic()
        left = CLOCK_CHECK_SECONDS if self._wake_at is None else self._wake_at - now
        if self._rotations.descriptor >= 0:
            watched.append(self._rotations.descriptor)
        if self._state == lifecycle.RUNNING:
            left = min(left, self._rotations.wait(now))
        return set(select.select(watched, (), (), max(0.0, min(left, CLOCK_CHECK_SECONDS)))[0])

    def _due(self) -> bool:
        if self._state == lifecycle.RUNNING and self._issued is not None:
            return time.time() >= lifecycle.renew_at(self._issued.issued_at, self._issued.expires_at)
        return self._wake_at is not None and time.monotonic() >= self._wake_at

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._connections.discard(pid)
            if pid == self._envoy:
                self._envoy = 0
                log("info" if self._state in (lifecycle.DRAINING, lifecycle.STOPPING) else "error", _ending(status))
                self._happened(lifecycle.ENVOY_ENDED)
            elif pid == self._drainer:
                self._drainer = 0
                if self._state == lifecycle.DRAINING:
                    self._wake_at = time.monotonic()

    # --- certificates ---------------------------------------------------------------------------------------------

    def _request(self) -> None:
        self._pipe, write_end = os.pipe()
        self._answer.clear()
        self._wake_at = None
        settings, trust_anchors = self._settings, self._trust_anchors

        def attempt() -> None:
            from isthmus.proxy import certificate

            signal.alarm(ATTEMPT_SECONDS)
            with os.fdopen(write_end, "wb") as answer:
                answer.write(certificate.attempt(settings, trust_anchors))

        self._fork(attempt)
        os.close(write_end)

    def _hear_answer(self) -> None:
        part = os.read(self._pipe, 65536)
        self._answer += part
        if part:
            return
        os.close(self._pipe)
        self._pipe = -1
        answer = Issued.decode(bytes(self._answer))
        if isinstance(answer, str):
            self._failures += 1
            log("warn", answer)
            self._happened(lifecycle.REFUSED)
            return
        self._failures = 0
        self._refreshes += 1
        self._issued = answer
        self._trust_anchors = answer.trust_anchors
        if self._secrets:
            self._secrets.replace()
        log("info", f"{self._settings.spiffe_id} has a certificate until {_utc(answer.expires_at)}")
        self._happened(lifecycle.ISSUED)

    def _follow_rotation(self) -> None:
        """A rotation does not wait for the next renewal."""
        if self._issued is None:
            return
        why = self._rotations.outdated(self._issued, self._trust_anchors, time.monotonic())
        if why:
            self._trust_anchors = self._rotations.with_told(self._trust_anchors)
        if why and self._state == lifecycle.RUNNING:
            log("info", f"{why}: asking for a new certificate")
            self._happened(lifecycle.TIMER)

    def _retry_later(self) -> None:
        self._wake_at = time.monotonic() + lifecycle.retry_after(self._failures, _spread())

    def _renew_later(self) -> None:
        if self._issued is not None:
            wait = lifecycle.renew_at(self._issued.issued_at, self._issued.expires_at) - time.time()
            self._wake_at = time.monotonic() + max(wait, lifecycle.FIRST_RETRY)

    # --- Envoy ----------------------------------------------------------------------------------------------------

    def _start_envoy(self) -> None:
        settings = self._settings
        arguments = [settings.envoy, "-c", settings.bootstrap_file, "--concurrency", "1", "--disable-hot-restart", "-l"]
        arguments += [settings.log_level, "--drain-time-s", f"{settings.drain_seconds:.0f}"]
        arguments += ["--drain-strategy", "immediate", "--file-flush-interval-msec", ACCESS_LOG_MILLISECONDS]
        try:
            self._secrets = Secrets(settings.identity_dir)
            self._envoy = os.posix_spawnp(settings.envoy, arguments, dict(os.environ), setsigdef=[signal.SIGPIPE])
        except OSError as error:
            log("error", f"Envoy ({settings.envoy}) cannot be started: {error.strerror}")
            self._happened(lifecycle.ENVOY_ENDED)
            return
        self._renew_later()

    def _drain(self) -> None:
        settings = self._settings
        log("info", f"asked to stop: draining for up to {settings.drain_seconds:.0f} s")
        port, seconds = settings.envoy_admin_port, settings.drain_seconds
        self._drainer = self._fork(lambda: admin.drain(port, seconds, time.monotonic, time.sleep))
        self._wake_at = time.monotonic() + seconds + 1

    def _end_envoy(self) -> None:
        if self._secrets:
            self._secrets.release()
        self._signal_envoy(signal.SIGTERM)

    def _kill_envoy(self) -> None:
        self._signal_envoy(signal.SIGKILL)

    def _signal_envoy(self, number: int) -> None:
        self._wake_at = time.monotonic() + STOP_SECONDS
        if self._envoy:
            os.kill(self._envoy, number)

    # --- the admin port -------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError:
            return
        view = admin.View(
            not_ready=self._not_ready(),
            envoy_port=self._settings.envoy_admin_port,
            expires_at=self._issued.expires_at if self._issued else 0,
            refreshes=self._refreshes,
            cluster_domain=self._settings.cluster_domain,
            trust_domain=self._settings.trust_domain,
        )
        with connection:
            self._connections.add(self._fork(lambda: admin.serve(connection, address[0], view, admin.parent_shutdown)))

    def _not_ready(self) -> str:
        if self._issued is None:
            return "waiting for a certificate from the identity service"
        if time.time() >= self._issued.expires_at:
            return f"the certificate expired at {_utc(self._issued.expires_at)}"
        if self._state in (lifecycle.DRAINING, lifecycle.STOPPING):
            return "shutting down"
        return ""

    def _fork(self, work: Callable[[], None]) -> int:
        """Run `work` in a child that can end in no other way than here."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            self._listener.close()
            if self._secrets:
                self._secrets.close()
            work()
            code = 0
        except Exception as error:
            log("error", f"{type(error).__name__}: {error}")
        finally:
            os._exit(code)


def _spread() -> float:
    """A random number in [0, 1); `random` would cost the pod half a megabyte."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"Envoy was ended by signal {-code}" if code < 0 else f"Envoy ended with code {code}"


def _utc(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def log(level: str, message: str) -> None:
    """One line on stdout."""
    print(f"[{_utc(time.time())}] {level} agent: {message}", flush=True)


def main() -> int:
    """Run the agent of this pod."""
    try:
        return Agent(Settings(os.environ)).run()
    except SettingsError as error:
        print(f"isthmus proxy: {error}", file=sys.stderr)
    except OSError as error:
        print(f"isthmus proxy: the admin port cannot be opened: {error.strerror}", file=sys.stderr)
    return 1
