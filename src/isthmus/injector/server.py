"""The admission webhook: AdmissionReviews in, decisions out."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from isthmus.injector.config import Config
from isthmus.injector.patch import Decision, Inject, Refuse, decide
from isthmus.kube import errors

log: Final = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 4 << 20
"""The API server's own limit for an object is 3 MB."""
BODY_TIMEOUT: Final = 5.0
NAMESPACE_TIMEOUT: Final = 5.0

NamespaceAnnotations = Callable[[str], Awaitable[Mapping[str, str]]]
"""Asks the API server for a namespace's annotations, live: a pod may follow its namespace by a millisecond."""


class AdmissionRequest(msgspec.Struct, frozen=True):
    """`request` of an AdmissionReview, as far as it is read."""

    uid: str
    namespace: str = ""
    operation: str = ""
    object: dict[str, Any] | None = None


class AdmissionReview(msgspec.Struct, frozen=True, rename="camel"):
    request: AdmissionRequest
    api_version: str = "admission.k8s.io/v1"


class Webhook:
    """The service behind the webhook. `config` is asked at each request, so that new trust roots reach new pods."""

    def __init__(
        self, config: Callable[[], Config], annotations: NamespaceAnnotations, registry: CollectorRegistry
    ) -> None:
        self._config = config
        self._annotations = annotations
        self._decisions = Counter(
            "proxy_inject_admission_responses", "Pods seen, by what became of them", ["decision"], registry=registry
        )

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        for path in ("/", "/inject"):
            application.router.add_post(path, self.review)
        return application

    async def review(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await request.read()
            review = msgspec.json.decode(body, type=AdmissionReview)
        except TimeoutError:
            return web.Response(status=408, text="the review did not arrive in time")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return web.Response(status=400, text=f"this is not an AdmissionReview: {error}")
        try:
            decision = await self._decide(review.request)
        except (errors.KubeError, TimeoutError) as error:
            log.error("a pod in %s was not reviewed: %s", review.request.namespace, error or "no answer in time")
            return web.Response(status=503, text=f"the pod's namespace cannot be read: {error}")
        self._record(review.request, decision)
        answer = {
            "apiVersion": review.api_version,
            "kind": "AdmissionReview",
            "response": {"uid": review.request.uid} | response(decision),
        }
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def _decide(self, request: AdmissionRequest) -> Decision:
        async with asyncio.timeout(NAMESPACE_TIMEOUT):
            annotations = await self._annotations(request.namespace)
        return decide(
            request.object or {},
            namespace=request.namespace,
            namespace_annotations=annotations,
            config=self._config(),
        )

    def _record(self, request: AdmissionRequest, decision: Decision) -> None:
        word = type(decision).__name__.lower()
        self._decisions.labels(word).inc()
        metadata = (request.object or {}).get("metadata") or {}
        pod = metadata.get("name") or f"{metadata.get('generateName', '')}*"
        why = {} if isinstance(decision, Inject) else {"why": _reason(decision)}
        log.info("pod reviewed", extra={"pod": f"{request.namespace}/{pod}", "decision": word} | why)


def response(decision: Decision) -> dict[str, Any]:
    """`response` of the AdmissionReview, without its uid."""
    if isinstance(decision, Refuse):
        return {
            "allowed": False,
            "status": {
                "status": "Failure",
                "reason": "Invalid",
                "code": 422,
                "message": f"the proxy injector refuses this pod: {decision.message}",
            },
        }
    if isinstance(decision, Inject):
        patch = base64.b64encode(msgspec.json.encode(decision.patch)).decode()
        warnings = {"warnings": list(decision.warnings)} if decision.warnings else {}
        return {"allowed": True, "patchType": "JSONPatch", "patch": patch} | warnings
    return {"allowed": True, "auditAnnotations": {"skipped": decision.reason}}


def _reason(decision: Decision) -> str:
    if isinstance(decision, Inject):
        return ""
    return decision.message if isinstance(decision, Refuse) else decision.reason
