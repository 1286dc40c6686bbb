"""Probes: thresholds, and what each kind of check says."""

import asyncio

import pytest
from aiohttp import web

from isthmus.lab.node import probes
from isthmus.lab.node.probes import Kind, Probe, Tally, Target


async def nothing(command):
    return 1, "no such file"


def target(port=0):
    return Target("127.0.0.1", {"http": port}, nothing)


@pytest.mark.parametrize(
    ("tries", "verdicts"),
    [
        ([True], [True]),
        ([True, True], [True, None]),
        ([False, False], [None, None]),
        ([False, False, False], [None, None, False]),
        ([True, False, False, True], [True, None, None, None]),
        ([False, False, False, False, True], [None, None, False, None, True]),
    ],
)
def test_a_verdict_needs_its_threshold(tries, verdicts):
    tally = Tally(Probe(Kind.READINESS, {}, failures=3))
    assert [tally.add(one) for one in tries] == verdicts


async def test_an_http_probe_looks_at_the_status():
    async def answer(request):
        return web.Response(status=int(request.match_info["status"]), text="why")

    application = web.Application()
    application.router.add_get("/{status}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        assert await probes.perform({"httpGet": {"path": "/204", "port": "http"}}, target(port)) == ""
        assert await probes.perform({"httpGet": {"path": "/302", "port": port}}, target()) == ""
        said = await probes.perform({"httpGet": {"path": "/503", "port": port}}, target())
        assert said == "HTTP probe failed with statuscode: 503 (why)"
        assert await probes.perform({"tcpSocket": {"port": port}}, target()) == ""
    finally:
        await runner.cleanup()
    said = await probes.perform({"httpGet": {"path": "/x", "port": port}}, target())
    assert said == f'Get "http://127.0.0.1:{port}/x": connection refused'


async def test_an_exec_probe_tells_what_the_program_said():
    assert await probes.perform({"exec": {"command": ["cat", "x"]}}, target()) == "exit code 1: no such file"


async def test_a_pod_is_found_ready_long_before_the_next_period():
    answers = iter(["not yet", "not yet", ""])

    async def check():
        return next(answers)

    probe = Probe(Kind.READINESS, {}, period=60)
    async with asyncio.timeout(5):
        async for outcome in probes.outcomes(probe, check):
            assert (outcome.message, outcome.verdict) == ("", True)
            break


async def test_a_check_that_hangs_fails_after_its_timeout():
    async def check():
        await asyncio.Event().wait()
        return ""

    probe = Probe(Kind.LIVENESS, {}, period=0.01, timeout=0.01, failures=2)
    async with asyncio.timeout(5):
        found = []
        async for outcome in probes.outcomes(probe, check):
            found.append(outcome)
            if outcome.verdict is False:
                break
    assert [one.verdict for one in found] == [None, False]
    assert "no answer" in found[0].message
