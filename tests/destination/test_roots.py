"""The mounted trust roots: a rotation is followed, rubbish is not."""

import asyncio
from pathlib import Path

import pytest
from tests.kube.waiting import until
from tests.mesh import objects as make

from isthmus.destination.main import follow_roots
from isthmus.kube import pki


async def test_new_roots_are_followed_and_unreadable_ones_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = pki.make_root("first").cert_pem, pki.make_root("second").cert_pem
    path, state = tmp_path / "ca-bundle.crt", make.state()
    path.write_text(first)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(follow_roots(path, state, lambda: None, every=0.01))
        await until(lambda: state.roots() == first)
        for unreadable in (first[:100], ""):
            caplog.clear()
            path.write_text(unreadable)
            await until(lambda: "keeping those known" in caplog.text)
            assert state.roots() == first
        path.write_text(first + second)
        await until(lambda: state.roots() == first + second)
        task.cancel()
