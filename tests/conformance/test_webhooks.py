"""Admission webhooks. From "Dynamic Admission Control"."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.conformance import shapes
from tests.conformance.api import Api, unique

Object = dict[str, Any]
Respond = Callable[[Object], Object]
NAME = "hook.example.org"


def _patch(*operations: Object) -> Respond:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def _annotate(name: str) -> Respond:
    return _patch({"op": "add", "path": f"/metadata/annotations/{name}", "value": "yes"})


def _allow(_: Object) -> Object:
    return {"allowed": True}


class Hook:
    """A server that webhooks lead to; what it says at a path is up to the test."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.responses: dict[str, Respond] = {}
        self.requests: list[Object] = []
        self.port = 0
        self.released = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        review = (await request.json())["request"]
        if request.path == "/hang":
            await self.released.wait()
        if request.path != "/mark":
            self.requests.append(review)
        response = {"uid": review["uid"]} | self.responses.get(request.path, _allow)(review)
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    def entry(self, path: str, respond: Respond = _allow, **more: Any) -> Object:
        """A webhook for the test's own ConfigMaps, answered at a path."""
        self.responses[path] = respond
        bundle = base64.b64encode(self.api.server.pki.ca.read_bytes()).decode()
        return {
            "name": NAME,
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": bundle},
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.api.namespace}},
            "objectSelector": {"matchLabels": {"suite": "webhooks"}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        } | more

    async def configure(self, *entries: Object, resource: str = "mutatingwebhookconfigurations") -> None:
        """Have webhooks, and wait until they count: until a dry run has met one that came with them."""
        api, met = self.api, asyncio.Event()

        def mark(_: Object) -> Object:
            met.set()
            return {"allowed": True}

        probes = {"matchLabels": {"probe": "yes"}}
        first = self.entry("/mark", mark, name="mark.example.org", objectSelector=probes)
        name = unique("hooks")
        await api.create(api.path(resource), {"metadata": {"name": name}, "webhooks": [first, *entries]})
        api.ending.push_async_callback(api.call, "DELETE", api.path(resource, name))

        async def counts() -> bool:
            probe = shapes.config("probe", labels={"probe": "yes"})
            await api.call("POST", api.path("configmaps"), probe, dryRun="All")
            return met.is_set()

        await api.until(counts, "the webhooks count")

    async def create(self, name: str = "a") -> Object:
        return await self.api.create(self.api.path("configmaps"), self.body(name))

    @staticmethod
    def body(name: str = "a") -> Object:
        return shapes.config(name, annotations={"a": "b"}, labels={"suite": "webhooks"})


@pytest.fixture
async def hook(api: Api) -> AsyncIterator[Hook]:
    hook = Hook(api)
    app = web.Application()
    app.router.add_post("/{path:.*}", hook.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    keys = api.server.pki
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(keys.certificate("apiserver"), keys.key("apiserver"))
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    hook.port = runner.addresses[0][1]
    yield hook
    hook.released.set()
    await runner.cleanup()


async def test_a_webhook_changes_the_object_and_knows_the_request(hook: Hook) -> None:
    """ "Request", "Response": AdmissionReview v1, JSONPatch."""
    await hook.configure(hook.entry("/a", _annotate("meshed")))
    assert (await hook.create())["metadata"]["annotations"] == {"a": "b", "meshed": "yes"}
    (request,) = hook.requests
    assert (request["operation"], request["name"], request["namespace"]) == ("CREATE", "a", hook.api.namespace)
    assert request["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert request["userInfo"]["username"] == "kubernetes-admin"
    assert request["object"]["data"] == {"a": "1"}
    assert request["oldObject"] is None
    assert request["dryRun"] is False
    await hook.api.call("DELETE", hook.api.path("configmaps", "a"))
    assert (hook.requests[1]["operation"], hook.requests[1]["object"]) == ("DELETE", None)
    assert hook.requests[1]["oldObject"]["metadata"]["name"] == "a"


async def test_webhooks_see_what_those_before_them_did_and_may_be_asked_again(hook: Hook) -> None:
    """ "Reinvocation policy"; "Idempotence"."""
    first = hook.entry("/first", _annotate("one"), name="a.example.org", reinvocationPolicy="IfNeeded")
    second = hook.entry("/second", _annotate("two"), name="b.example.org")
    await hook.configure(first, second)
    await hook.create()
    seen = [set(request["object"]["metadata"]["annotations"]) for request in hook.requests]
    assert seen == [{"a"}, {"a", "one"}, {"a", "one", "two"}]


async def test_a_denial_reaches_the_user_in_its_words(hook: Hook) -> None:
    """ "Response": status code and message of a webhook that forbids."""
    deny: Respond = lambda _: {"allowed": False, "status": {"message": "not on my watch", "code": 403}}  # noqa: E731
    await hook.configure(hook.entry("/deny", deny), resource="validatingwebhookconfigurations")
    answer = await hook.api.call("POST", hook.api.path("configmaps"), hook.body())
    assert answer.code == 403
    assert answer.body["message"] == f'admission webhook "{NAME}" denied the request: not on my watch'
    assert await hook.api.is_gone(hook.api.path("configmaps", "a"))


async def test_warnings_are_passed_on(hook: Hook) -> None:
    """ "Response": warnings."""
    warn: Respond = lambda _: {"allowed": True, "warnings": ["old API"]}  # noqa: E731
    await hook.configure(hook.entry("/warn", warn), resource="validatingwebhookconfigurations")
    answer = await hook.api.call("POST", hook.api.path("configmaps"), hook.body())
    assert (answer.code, answer.warnings) == (201, ['299 - "old API"'])


async def test_a_dry_run_is_told_and_needs_a_webhook_without_side_effects(hook: Hook) -> None:
    """ "Side effects"."""
    await hook.configure(hook.entry("/a"))
    await hook.api.create(hook.api.path("configmaps"), hook.body(), dryRun="All")
    assert hook.requests[0]["dryRun"] is True


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: {"uid": "another", "allowed": True},
        lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(b"[{").decode()},
        _patch({"op": "remove", "path": "/nothing"}),
    ],
    ids=["another uid", "no patch", "a patch that does not apply"],
)
async def test_a_webhook_that_answers_badly_stops_the_request(hook: Hook, respond: Respond) -> None:
    """ "Response": what does not make sense is an error."""
    await hook.configure(hook.entry("/bad", respond))
    answer = await hook.api.call("POST", hook.api.path("configmaps"), hook.body())
    answer.refused(500, "InternalError")
    assert await hook.api.is_gone(hook.api.path("configmaps", "a"))


async def test_a_webhook_that_cannot_be_called_stops_the_request_or_is_passed_over(hook: Hook) -> None:
    """ "Failure policy"; "Timeouts": a call that takes too long has failed."""
    nowhere = hook.entry("/none", failurePolicy="Ignore")
    nowhere["clientConfig"]["url"] = "https://127.0.0.1:1/"
    await hook.configure(nowhere)
    await hook.create()
    await hook.configure(hook.entry("/hang", timeoutSeconds=1, name="hang.example.org"))
    answer = await hook.api.call("POST", hook.api.path("configmaps"), hook.body("b"))
    answer.refused(500, "InternalError")
    assert 'failed calling webhook "hang.example.org"' in answer.body["message"]
    assert "context deadline exceeded" in answer.body["message"]
    assert await hook.api.is_gone(hook.api.path("configmaps", "b"))


async def test_only_requests_that_rules_and_selectors_match_are_asked_about(hook: Hook) -> None:
    """ "Matching requests": rules, objectSelector."""
    only = {"matchLabels": {"ask": "yes"}}
    updates = [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]
    await hook.configure(
        hook.entry("/selected", objectSelector=only, name="a.example.org"),
        hook.entry("/updates", rules=updates, name="b.example.org"),
    )
    await hook.create()
    await hook.api.create(hook.api.path("secrets"), {"metadata": {"name": "s", "labels": {"ask": "yes"}}})
    assert hook.requests == []
    await hook.api.patch(hook.api.path("configmaps", "a"), {"metadata": {"labels": {"ask": "yes"}}})
    assert [request["operation"] for request in hook.requests] == ["UPDATE", "UPDATE"]
