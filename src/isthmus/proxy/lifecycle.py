"""The life of a proxy as a table: (state, event) -> (next state, what to do). Does no I/O.

requesting -> running <-> renewing          a certificate, Envoy, and a new certificate in time
     |                       |
  waiting                 retrying          the identity service said no, or nothing: try again, later each time
running, renewing, retrying -> draining -> stopping -> stopped
any state with Envoy, when Envoy dies -> failed
"""

from typing import Final

REQUESTING: Final = "requesting"
"""No certificate yet; an attempt is on its way."""
WAITING: Final = "waiting"
"""No certificate yet; the last attempt failed."""
RUNNING: Final = "running"
RENEWING: Final = "renewing"
"""Envoy runs with a certificate; an attempt to get the next one is on its way."""
RETRYING: Final = "retrying"
"""Envoy runs with a certificate; the last attempt to renew it failed."""
DRAINING: Final = "draining"
"""Envoy finishes what it has begun."""
STOPPING: Final = "stopping"
STOPPED: Final = "stopped"
FAILED: Final = "failed"

ISSUED: Final = "issued"
REFUSED: Final = "refused"
TIMER: Final = "timer"
TERMINATE: Final = "terminate"
ENVOY_ENDED: Final = "envoy ended"

REQUEST: Final = "request a certificate"
RETRY_LATER: Final = "retry later"
START_ENVOY: Final = "start Envoy"
RENEW_LATER: Final = "renew later"
DRAIN: Final = "drain Envoy"
END_ENVOY: Final = "end Envoy"
KILL_ENVOY: Final = "kill Envoy"
NOTHING: Final = "nothing"

TRANSITIONS: Final = {
    (REQUESTING, ISSUED): (RUNNING, START_ENVOY),
    (REQUESTING, REFUSED): (WAITING, RETRY_LATER),
    (REQUESTING, TERMINATE): (STOPPED, NOTHING),
    (WAITING, TIMER): (REQUESTING, REQUEST),
    (WAITING, TERMINATE): (STOPPED, NOTHING),
    (RUNNING, TIMER): (RENEWING, REQUEST),
    (RUNNING, TERMINATE): (DRAINING, DRAIN),
    (RUNNING, ENVOY_ENDED): (FAILED, NOTHING),
    (RENEWING, ISSUED): (RUNNING, RENEW_LATER),
    (RENEWING, REFUSED): (RETRYING, RETRY_LATER),
    (RENEWING, TERMINATE): (DRAINING, DRAIN),
    (RENEWING, ENVOY_ENDED): (FAILED, NOTHING),
    (RETRYING, TIMER): (RENEWING, REQUEST),
    (RETRYING, TERMINATE): (DRAINING, DRAIN),
    (RETRYING, ENVOY_ENDED): (FAILED, NOTHING),
    (DRAINING, TIMER): (STOPPING, END_ENVOY),
    (DRAINING, TERMINATE): (STOPPING, END_ENVOY),
    (DRAINING, ENVOY_ENDED): (STOPPED, NOTHING),
    (STOPPING, TIMER): (STOPPING, KILL_ENVOY),
    (STOPPING, TERMINATE): (STOPPING, KILL_ENVOY),
    (STOPPING, ENVOY_ENDED): (STOPPED, NOTHING),
}
ENDED: Final = (STOPPED, FAILED)

RENEW_AT: Final = 0.7
SHORTEST_LIFE: Final = 1.0
"""No certificate is renewed sooner, even one that is over already by the clock of this machine."""
FIRST_RETRY: Final = 0.1
LAST_RETRY: Final = 10.0


def step(state: str, event: str) -> tuple[str, str]:
    """The next state and what to do. An event that a state does not know (a late answer) changes nothing."""
    return TRANSITIONS.get((state, event), (state, NOTHING))


def retry_after(failures: int, spread: float) -> float:
    """Seconds until the next attempt after so many failures in a row: 100 ms, doubling, to 10 s.

    `spread` in [0, 1) takes off up to a quarter, so that the pods of a node do not come back all at once.
    """
    return min(FIRST_RETRY * 2.0 ** min(failures - 1, 16), LAST_RETRY) * (1 - spread / 4)


def renew_at(issued_at: float, expires_at: float) -> float:
    """When to ask for the next certificate."""
    return issued_at + max((expires_at - issued_at) * RENEW_AT, SHORTEST_LIFE)
