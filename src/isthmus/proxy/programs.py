"""Run a program to its end with bytes in and bytes out. `subprocess` would cost every pod a megabyte and more."""

import os
import select
import signal
import time
from collections.abc import Sequence

MAX_OUTPUT = 256 * 1024


class ProgramError(Exception):
    """The program could not be run to its end; the message says why."""


class Finished:
    """How the program ended and what it said."""

    __slots__ = ("code", "errors", "output")

    def __init__(self, code: int, output: bytes, errors: bytes) -> None:
        self.code = code
        self.output = output
        self.errors = errors


def run(arguments: Sequence[str], *, given: bytes = b"", timeout: float) -> Finished:
    """Run `arguments` with `given` on its standard input; ProgramError when it is missing or takes too long."""
    stdin, to_program = os.pipe()
    from_program, stdout = os.pipe()
    from_errors, stderr = os.pipe()
    ours, theirs = (to_program, from_program, from_errors), (stdin, stdout, stderr)
    try:
        pid = _spawn(list(arguments), theirs)
    except OSError as error:
        _close(*ours)
        raise ProgramError(f"{arguments[0]} cannot be started: {error.strerror}") from error
    finally:
        _close(*theirs)
    done = False
    try:
        output, errors = _exchange(ours, given, time.monotonic() + timeout)
        done = True
    except TimeoutError:
        raise ProgramError(f"no answer within {timeout:.0f} s") from None
    finally:
        if not done:
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    return Finished(os.waitstatus_to_exitcode(status), output, errors)


def _spawn(arguments: list[str], theirs: tuple[int, int, int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(theirs)]
    return os.posix_spawnp(arguments[0], arguments, dict(os.environ), file_actions=actions, setsigdef=[signal.SIGPIPE])


def _exchange(ours: tuple[int, int, int], given: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Feed and read all three pipes at once, so that no full pipe blocks another. Closes them."""
    to_program, from_program, from_errors = ours
    heard: dict[int, bytearray] = {from_program: bytearray(), from_errors: bytearray()}
    waiting = set(ours)
    os.set_blocking(to_program, False)
    try:
        while waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            readable, writable, _ = select.select(waiting & heard.keys(), waiting & {to_program}, (), left)
            if writable:
                given = _feed(to_program, given)
                if not given:
                    waiting.remove(to_program)
                    os.close(to_program)
            for descriptor in readable:
                part = os.read(descriptor, 16384)
                heard[descriptor] += part
                if not part or len(heard[descriptor]) > MAX_OUTPUT:
                    waiting.remove(descriptor)
                    os.close(descriptor)
    finally:
        _close(*waiting)
    return bytes(heard[from_program]), bytes(heard[from_errors])


def _feed(descriptor: int, given: bytes) -> bytes:
    """What is still to be written. A program that stopped listening has heard enough."""
    try:
        return given[os.write(descriptor, given) :] if given else b""
    except BrokenPipeError:
        return b""


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
