"""What happens to objects on their way in: service accounts for pods, and webhooks over real TLS."""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from isthmus.lab import pki
from isthmus.lab.api import accounts, webhooks
from isthmus.lab.api.admission import ClusterAdmission
from isthmus.lab.api.contracts import ApiError, Object, ResourceInfo, User, Write

PODS = ResourceInfo("", "v1", "pods", "Pod", namespaced=True)
SERVICES = ResourceInfo("", "v1", "services", "Service", namespaced=True)
NAMESPACES = ResourceInfo("", "v1", "namespaces", "Namespace", namespaced=False)
JANE = User("jane", groups=("dev",))
SERVER_NAME = "kubernetes.default.svc"
"""The webhook's Service is called as the test certificate is: `kubernetes` in `default`."""
Respond = Callable[[Object], Object]


class Objects:
    """A store to read from, filled by plural."""

    def __init__(self, **objects: list[Object]) -> None:
        self.objects = objects

    def get(self, group: str, resource: str, namespace: str | None, name: str) -> Object | None:
        found = (obj for obj in self.list(group, resource, namespace) if obj["metadata"]["name"] == name)
        return next(found, None)

    def list(self, group: str, resource: str, namespace: str | None = None) -> list[Object]:
        found = self.objects.get(resource, [])
        return [obj for obj in found if namespace in (None, obj["metadata"].get("namespace"))]


def patch(*operations: Object) -> Respond:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def labelled(name: str, value: str = "yes") -> Respond:
    return patch({"op": "add", "path": f"/metadata/labels/{name}", "value": value})


class Webhook:
    """A server with a certificate of its own; what it says is up to the test."""

    def __init__(self, ca: str) -> None:
        self.responses: dict[str, Respond] = {}
        self.requests: list[Object] = []
        self.port = 0
        self.ca = ca
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.requests.append(review["request"])
        self.headers = dict(request.headers)
        response = self.responses[request.path](review["request"])
        if "http" in response:
            return web.Response(status=response["http"])
        response = {"uid": review["request"]["uid"]} | response
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    def entry(self, respond: Respond, name: str = "hook.test.io", **rest: Any) -> Object:
        """A webhook that answers like this, reached by its Service."""
        path = f"/{name}"
        self.responses[path] = respond
        service = {"namespace": "default", "name": "kubernetes", "path": path, "port": 443}
        rules = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]
        client = {"service": service, "caBundle": base64.b64encode(self.ca.encode()).decode()}
        return {"name": name, "clientConfig": client, "rules": rules, "sideEffects": "None"} | rest

    def store(self, *mutating: Object, validating: tuple[Object, ...] = ()) -> Objects:
        slice_metadata = {"name": "s", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}}
        return Objects(
            mutatingwebhookconfigurations=[{"metadata": {"name": "m"}, "webhooks": list(mutating)}],
            validatingwebhookconfigurations=[{"metadata": {"name": "v"}, "webhooks": list(validating)}],
            namespaces=[{"metadata": {"name": "shop", "labels": {"mesh": "on"}}}],
            services=[
                {
                    "metadata": {"name": "kubernetes", "namespace": "default"},
                    "spec": {"ports": [{"name": "https", "port": 443, "targetPort": "hook"}]},
                }
            ],
            endpointslices=[
                {
                    "metadata": slice_metadata,
                    "endpoints": [
                        {"addresses": ["203.0.113.1"], "conditions": {"ready": False}},
                        {"addresses": ["127.0.0.1"], "conditions": {"ready": True}},
                    ],
                    "ports": [{"name": "metrics", "port": 1}, {"name": "https", "port": self.port}],
                }
            ],
        )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.create(tmp_path_factory.mktemp("pki"), cluster="west", node_ip="172.30.0.11")


@pytest.fixture
async def hook(keys: pki.Pki) -> AsyncIterator[Webhook]:
    webhook = Webhook(keys.ca_pem)
    app = web.Application()
    app.router.add_post("/{path:.*}", webhook.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(keys.certificate("apiserver"), keys.key("apiserver"))
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    webhook.port = runner.addresses[0][1]
    yield webhook
    await runner.cleanup()


SERVICE: Object = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "labels": {"app": "web"}}}


async def admit(
    store: Objects, obj: Object | None = SERVICE, resource: ResourceInfo = SERVICES, **given: Any
) -> Object:
    admission = ClusterAdmission(store)
    name = (obj or given.get("old") or {})["metadata"].get("name", "")
    call: dict[str, Any] = {"operation": "CREATE", "old": None, "dry_run": False} | given
    namespace = "shop" if resource.namespaced else ""
    try:
        write = Write(user=JANE, resource=resource, namespace=namespace, name=name, obj=obj, **call)
        return await admission.admit(write)
    finally:
        await admission.close()


async def refusal(store: Objects, **given: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await admit(store, **given)
    return refused.value


# --- webhooks ---------------------------------------------------------------------------------------------------------
async def test_a_denial_is_worded_as_the_real_server_words_it(hook: Webhook) -> None:
    denied = hook.entry(lambda _: {"allowed": False, "status": {"message": "not on my watch", "code": 403}})
    refused = await refusal(hook.store(validating=(denied,)))
    assert refused.message == 'admission webhook "hook.test.io" denied the request: not on my watch'
    assert refused.code == 403


async def test_a_denial_without_words(hook: Webhook) -> None:
    refused = await refusal(hook.store(hook.entry(lambda _: {"allowed": False})))
    assert refused.message == 'admission webhook "hook.test.io" denied the request without explanation'
    assert refused.code == 400


async def test_validating_webhooks_cannot_change_anything_and_see_the_result(hook: Webhook) -> None:
    mutating = hook.entry(labelled("one"), "m.test.io")
    validating = hook.entry(labelled("sneaky"), "v.test.io")
    changed = await admit(hook.store(mutating, validating=(validating,)))
    assert changed["metadata"]["labels"] == {"app": "web", "one": "yes"}
    assert hook.requests[1]["object"] == changed


async def test_a_dry_run_is_told_and_needs_a_webhook_without_side_effects(hook: Webhook) -> None:
    await admit(hook.store(hook.entry(lambda _: {"allowed": True})), dry_run=True)
    assert hook.requests[0]["dryRun"] is True
    refused = await refusal(hook.store(hook.entry(labelled("x"), sideEffects="Some")), dry_run=True)
    assert refused.message == 'admission webhook "hook.test.io" does not support dry run'


async def test_a_certificate_from_elsewhere_is_not_believed(hook: Webhook, tmp_path: Path) -> None:
    hook.ca = pki.create(tmp_path, cluster="east", node_ip="172.30.0.12").ca_pem
    refused = await refusal(hook.store(hook.entry(labelled("x"))))
    assert refused.message.startswith(
        'Internal error occurred: failed calling webhook "hook.test.io": failed to call webhook: '
        'Post "https://kubernetes.default.svc:443/hook.test.io?timeout=10s": '
    )
    assert "certificate verify failed" in refused.message
    assert (refused.code, hook.requests) == (500, [])


async def test_a_certificate_for_another_service_is_not_believed(hook: Webhook) -> None:
    store = hook.store(hook.entry(labelled("x")))
    hook_config = store.objects["mutatingwebhookconfigurations"][0]["webhooks"][0]["clientConfig"]["service"]
    hook_config["name"] = "other"
    store.objects["services"][0]["metadata"]["name"] = "other"
    store.objects["endpointslices"][0]["metadata"]["labels"] = {"kubernetes.io/service-name": "other"}
    assert "certificate is not valid for 'other.default.svc'" in (await refusal(store)).message


@pytest.mark.parametrize(
    ("respond", "message"),
    [
        (lambda _: {"http": 500}, "the webhook answered with status 500, not 200"),
        (lambda _: {"uid": "other", "allowed": True}, "received invalid webhook response: expected response.uid="),
        (lambda _: {"allowed": True, "patch": "%%%"}, "the patch cannot be read"),
        (patch({"op": "remove", "path": "/nothing"}), "the patch does not apply"),
        (lambda _: {"allowed": True, "patch": "W10=", "patchType": "Other"}, 'unsupported patch type "Other"'),
    ],
)
async def test_a_broken_webhook_stops_the_request_or_is_passed_over(
    hook: Webhook, respond: Respond, message: str
) -> None:
    assert message in (await refusal(hook.store(hook.entry(respond)))).message
    assert await admit(hook.store(hook.entry(respond, failurePolicy="Ignore"))) == SERVICE


async def test_a_webhook_without_pods(hook: Webhook) -> None:
    store = hook.store(hook.entry(labelled("x")))
    store.objects["endpointslices"] = []
    failed = 'Internal error occurred: failed calling webhook "hook.test.io": '
    assert (await refusal(store)).message == failed + 'no endpoints available for service "kubernetes"'
    store.objects["services"] = []
    assert 'service "kubernetes" not found' in (await refusal(store)).message


async def test_a_pod_that_refuses_connections_is_not_the_only_one_tried(hook: Webhook) -> None:
    store = hook.store(hook.entry(labelled("x")))
    store.objects["endpointslices"][0]["endpoints"].insert(0, {"addresses": ["127.0.0.2"]})
    assert (await admit(store))["metadata"]["labels"]["x"] == "yes"


async def test_a_webhook_by_url(hook: Webhook) -> None:
    entry = hook.entry(labelled("x"))
    entry["clientConfig"] |= {"service": None, "url": f"https://127.0.0.1:{hook.port}/hook.test.io"}
    assert (await admit(hook.store(entry)))["metadata"]["labels"]["x"] == "yes"


async def test_webhooks_are_never_asked_about_webhooks(hook: Webhook) -> None:
    info = ResourceInfo(
        webhooks.GROUP, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False
    )
    await admit(hook.store(hook.entry(lambda _: {"allowed": False})), {"metadata": {"name": "x"}}, info)
    assert hook.requests == []


# --- which requests a webhook is about --------------------------------------------------------------------------------
def concerned(webhook: Object, resource: ResourceInfo = SERVICES, obj: Object = SERVICE, **given: Any) -> bool:
    rules = [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]}]
    call = Write(
        operation=given.get("operation", "CREATE"),
        user=JANE,
        resource=resource,
        namespace="shop",
        name="web",
        obj=obj,
        old=given.get("old"),
        dry_run=False,
    )
    labels = {"mesh": "on", "kubernetes.io/metadata.name": "shop"} if resource.namespaced else None
    return webhooks.concerns({"rules": rules} | webhook, call, labels)


def rules(**rule: list[str] | str) -> Object:
    found: Object = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]} | rule
    return {"rules": [found]}


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [
        ({}, True),
        (rules(operations=["UPDATE"]), False),
        (rules(apiGroups=["apps"]), False),
        (rules(apiVersions=["v2"]), False),
        (rules(resources=["pods"]), False),
        (rules(resources=["pods", "services"]), True),
        (rules(resources=["services/*"]), True),
        (rules(resources=["services/status"]), False),
        (rules(resources=["*/*"]), True),
        (rules(scope="Cluster"), False),
        (rules(scope="Namespaced"), True),
        ({"namespaceSelector": {"matchLabels": {"mesh": "on"}}}, True),
        ({"namespaceSelector": {"matchExpressions": [{"key": "mesh", "operator": "DoesNotExist"}]}}, False),
        (
            {
                "namespaceSelector": {
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "shop"]}
                    ]
                }
            },
            False,
        ),
        ({"objectSelector": {"matchLabels": {"app": "web"}}}, True),
        ({"objectSelector": {"matchLabels": {"app": "db"}}}, False),
        ({"objectSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}}, True),
    ],
)
def test_rules_and_selectors_say_which_requests_a_webhook_is_about(webhook: Object, expected: bool) -> None:
    assert concerned(webhook) is expected


def test_the_old_object_counts_for_the_selector_too() -> None:
    webhook = {"objectSelector": {"matchLabels": {"app": "web"}}}
    relabelled = {"metadata": {"labels": {}}}
    assert not concerned(webhook, obj=relabelled)
    assert concerned(webhook, obj=relabelled, old=SERVICE)


async def test_a_namespace_is_selected_by_its_own_labels(hook: Webhook) -> None:
    entry = hook.entry(lambda _: {"allowed": True}, namespaceSelector={"matchLabels": {"mesh": "new"}})
    for labels in ({"mesh": "new"}, {}):
        await admit(hook.store(entry), {"metadata": {"name": "shop", "labels": labels}}, NAMESPACES)
    assert len(hook.requests) == 1


# --- service accounts -------------------------------------------------------------------------------------------------
POD: Object = {"metadata": {"name": "p"}, "spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}}
ACCOUNT: Object = {"metadata": {"name": "default", "namespace": "shop"}}


@pytest.mark.parametrize(
    ("pod", "account", "mounted"), [(None, False, False), (True, False, True), (False, True, False)]
)
def test_the_pods_word_on_tokens_counts_before_its_accounts(pod: bool | None, account: bool, mounted: bool) -> None:
    spec = POD["spec"] | ({} if pod is None else {"automountServiceAccountToken": pod})
    found = accounts.with_account(POD | {"spec": spec}, ACCOUNT | {"automountServiceAccountToken": account})
    assert ("volumes" in found["spec"]) is mounted


def test_a_container_with_a_mount_of_its_own_keeps_it() -> None:
    own = [{"name": "mine", "mountPath": accounts.MOUNT_PATH}]
    found = accounts.with_account({"spec": {"containers": [{"name": "c", "volumeMounts": own}]}}, ACCOUNT)
    assert found["spec"]["containers"][0]["volumeMounts"] == own
    assert "volumes" not in found["spec"]


async def test_webhooks_see_the_token_already_mounted(hook: Webhook) -> None:
    store = hook.store(hook.entry(lambda _: {"allowed": True}))
    store.objects["serviceaccounts"] = [ACCOUNT]
    await admit(store, POD, PODS)
    assert hook.requests[0]["object"]["spec"]["volumes"][0]["name"].startswith("kube-api-access-")
