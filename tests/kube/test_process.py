"""What every control-plane process shows of itself."""

import asyncio
import json
import logging
import urllib.error
import urllib.request
from asyncio import to_thread
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Counter
from tests.kube import api as fake
from tests.kube.waiting import until

from isthmus.kube import admin, events, kinds
from isthmus.kube.client import connect
from isthmus.kube.logs import JsonFormatter


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_readiness_says_what_is_waited_for() -> None:
    waiting: list[str] = ["waiting for services"]
    registry = CollectorRegistry()
    Counter("things", "Things", registry=registry).inc()
    async with admin.serve(lambda: waiting[0] if waiting else None, address="127.0.0.1:0", registry=registry) as port:
        assert await to_thread(fetch, port, "/live") == (200, "live\n")
        assert await to_thread(fetch, port, "/ready") == (503, "waiting for services\n")
        waiting.clear()
        assert await to_thread(fetch, port, "/ready") == (200, "ready\n")
        assert "things_total 1.0" in (await to_thread(fetch, port, "/metrics"))[1]
        assert (await to_thread(fetch, port, "/other"))[0] == 404


def test_a_log_record_is_one_json_line() -> None:
    record = logging.LogRecord("isthmus.x", logging.WARNING, "f", 1, "two\nlines of %s", ("text",), None)
    record.cluster = "east"
    line = JsonFormatter().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["level"], parsed["logger"], parsed["message"]) == ("warning", "x", "two\nlines of text")
    assert parsed["cluster"] == "east"


@pytest.fixture
async def api() -> AsyncIterator[fake.Api]:
    async with fake.running() as running:
        yield running


async def test_the_same_event_again_only_counts_up(api: fake.Api) -> None:
    about = events.reference(kinds.DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "shop", "uid": "1"}})
    async with connect(fake.kubeconfig(api.url)) as client, asyncio.TaskGroup() as group:
        recorder = events.Recorder(client, "isthmus")
        task = group.create_task(recorder.run())
        for _ in range(3):
            recorder.record(about, "Linked", "it is linked")
        recorder.record(about, "Lost", "it is gone", type="Warning")
        folder = api.objects.setdefault("/api/v1/namespaces/shop/events", {})
        await until(lambda: sorted(each["count"] for each in folder.values()) == [1, 3])
        task.cancel()
