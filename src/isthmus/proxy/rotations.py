"""When this proxy should not wait for its next renewal: destination told Envoy of other roots, or of another issuer.

Envoy is asked every few seconds, in the agent's own loop, over a socket that never blocks. What it says is compared
with what it said before, and read by a child only when it differs.
"""

import os
from collections.abc import Callable
from typing import Final

from isthmus.proxy import held, roots
from isthmus.proxy.held import Held
from isthmus.proxy.issued import Issued
from isthmus.proxy.settings import Settings

LOOK_SECONDS: Final = 5.0
"""Between looks; longer while the answer stays the same bad news."""
LONGEST_LOOK_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0


class Rotations:
    """One look after another."""

    def __init__(
        self, settings: Settings, *, fork: Callable[[Callable[[], None]], int], spread: Callable[[], float]
    ) -> None:
        """`fork` runs something in a child, `spread` is a random number in [0, 1)."""
        self._settings = settings
        self._fork = fork
        self._spread = spread
        self.descriptor = -1
        """To be waited for while a look goes on, -1 otherwise."""
        self._asking = False
        self._heard = bytearray()
        self._mark = 0
        self._told = Held()
        self._pause = LOOK_SECONDS
        self._at = 0.0
        """When the next look begins, or the one that goes on is given up."""

    def wait(self, now: float) -> float:
        """Seconds until there is something to do, if nothing is heard."""
        return self._at - now

    def turn(self, now: float) -> None:
        """Begin the next look, or give up one that is not answered, when it is time."""
        if now < self._at:
            return
        if self.descriptor >= 0:
            self._close()
            self._rest(now)
            return
        try:
            self._listen(held.ask(self._settings.envoy_admin_port), now, asking=True)
        except OSError:
            self._rest(now)

    def hear(self, now: float) -> bool:
        """Read what is there; whether a look has ended with an answer."""
        try:
            part = os.read(self.descriptor, 65536)
        except OSError:
            self._close()
            self._rest(now)
            return False
        self._heard += part
        if part:
            return False
        self._close()
        heard = bytes(self._heard)
        if not self._asking:
            self._told = Held.decode(heard)
        elif self._is_new(heard):
            self._read(heard, now)
            return False
        return True

    def outdated(self, issued: Issued, trust_anchors: str, now: float) -> str:
        """Why the proxy should ask for a new certificate now, "" if it need not; to be asked after each look."""
        issuer, bundle = self._told.issuer, self._told.roots
        if issuer and issued.issuer and issuer != issued.issuer:
            why = "another issuer signs now"
        else:
            why = "the trust roots changed" if bundle and not roots.agree(bundle, trust_anchors) else ""
        self._pause = min(2 * self._pause, LONGEST_LOOK_SECONDS) if why else LOOK_SECONDS
        self._rest(now)
        return why

    def with_told(self, trust_anchors: str) -> str:
        """These roots and those that Envoy holds: what is gone goes when identity, too, has dropped it."""
        return roots.together(self._told.roots, trust_anchors)

    def _is_new(self, answer: bytes) -> bool:
        """Only the body counts: the head has the time of day."""
        before, self._mark = self._mark, hash(answer.partition(b"\r\n\r\n")[2])
        return self._mark != before

    def _read(self, answer: bytes, now: float) -> None:
        """To parse it takes memory that a child gives back."""
        reader, writer = os.pipe()
        domain = self._settings.trust_domain

        def read() -> None:
            with os.fdopen(writer, "wb") as out:
                out.write(held.read(answer, domain).encode())

        self._fork(read)
        os.close(writer)
        self._listen(reader, now, asking=False)

    def _listen(self, descriptor: int, now: float, *, asking: bool) -> None:
        self.descriptor, self._asking, self._at = descriptor, asking, now + ANSWER_SECONDS
        self._heard.clear()

    def _close(self) -> None:
        os.close(self.descriptor)
        self.descriptor = -1

    def _rest(self, now: float) -> None:
        self._at = now + self._pause * (1 - self._spread() / 4)
