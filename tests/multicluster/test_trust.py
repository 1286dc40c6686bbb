"""What a control plane publishes of its own trust."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from isthmus.kube import errors
from isthmus.kube.meta import Meta
from isthmus.kube.watch import Signal
from isthmus.multicluster import trust
from isthmus.multicluster.registration import Registration
from isthmus.resources.core import ConfigMap

from .values import link


@pytest.mark.parametrize("data", [{}, {"trust-domain": "a"}, {"ca-bundle.crt": "PEM", "trust-domain": " "}])
def test_roots_that_are_not_complete_are_no_roots(data: dict[str, str]) -> None:
    assert trust.roots(ConfigMap(Meta(), data)) is None
    assert trust.roots(None) is None


class Away:
    """A client of an API server that does not answer."""

    async def get(self, *_: Any) -> Any:
        raise errors.Unreachable("cluster east does not answer")


async def test_a_cluster_that_is_away_is_not_told_to_install_what_it_has() -> None:
    east = SimpleNamespace(
        roots=trust.Roots("east.example", "PEM"), link=link(), client=Away(), roots_changed=Signal(), roots_known=True
    )
    changed = Signal()
    registration: Registration = Registration(east, lambda: trust.Roots("west.example", "PEM"), changed)  # type: ignore[arg-type]
    running = asyncio.create_task(registration.run())
    await changed.wait(10)
    running.cancel()
    told = registration.condition
    assert (told.status, told.reason) == ("Unknown", "Pending")
    assert told.message == "Not known while east does not answer. What was agreed goes on to count."
