"""Bodies that are meant to hurt, and bodies that are never stored: soon a Status that says why, and nothing else."""

import asyncio
import gzip
from typing import Any

import msgspec
import pytest
from tests.lab.api.conftest import Cluster

from isthmus.lab.api import server as servers

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICE = "/api/v1/namespaces/default/services/kubernetes"
ACCOUNT_TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"
TOKEN_REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
BINDING = "/api/v1/namespaces/default/pods/p/binding"
EVICTION = "/api/v1/namespaces/default/pods/p/eviction"

YAML, JSON_PATCH, APPLY = "application/yaml", "application/json-patch+json", "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
COPIES = [{"op": "add", "path": "/metadata/annotations", "value": {}}]
COPIES += [{"op": "copy", "from": "/metadata", "path": f"/metadata/{number}"} for number in range(40)]
FAR_INDEX = b'[{"op":"remove","path":"/spec/ports/' + b"9" * 5000 + b'"}]'
TESTS = [{"op": "test", "path": "/metadata/name", "value": "kubernetes"}] * 10_001


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code"),
    [
        ("POST", MAPS, f"metadata: {{name: a}}\n{LAUGHS}", {"Content_Type": YAML}, 400),
        ("PATCH", f"{MAPS}/a?fieldManager=t", f"metadata: {{name: a}}\n{LAUGHS}", {"Content_Type": APPLY}, 400),
        ("POST", MAPS, "metadata: &m {name: a, labels: *m}", {"Content_Type": YAML}, 400),
        ("POST", MAPS, "? [a, b]\n: c", {"Content_Type": YAML}, 400),
        ("POST", MAPS, "metadata: {name: a}\ndata: {a: .nan}", {"Content_Type": YAML}, 400),
        ("POST", MAPS, "metadata: {name: a}\ndata: {a: !!set {b}}", {"Content_Type": YAML}, 400),
        ("POST", MAPS, "a: 1\n---\nb: 2", {"Content_Type": YAML}, 400),
        ("POST", MAPS, b"no gzip", {"Content_Encoding": "gzip"}, 400),
        ("POST", MAPS, gzip.compress(b"a" * 20_000_000), {"Content_Encoding": "gzip"}, 413),
        ("POST", MAPS, b"a" * 4_000_000, {}, 413),
        ("POST", MAPS, '{"metadata":{"name":"a"}}'.encode("utf-16"), {}, 400),
        ("PATCH", SERVICE, msgspec.json.encode(COPIES), {"Content_Type": JSON_PATCH}, 413),
        ("PATCH", SERVICE, msgspec.json.encode(TESTS), {"Content_Type": JSON_PATCH}, 413),
        ("PATCH", SERVICE, FAR_INDEX, {"Content_Type": JSON_PATCH}, 422),
        ("PATCH", SERVICE, b'{"spec":{"ports":[1]}}', {"Content_Type": STRATEGIC}, 400),
        ("PATCH", SERVICE, b"{}", {"Content_Type": "application/apply-patch+cbor"}, 415),
        ("GET", "/api/v1/pods?limit=" + "9" * 5000, None, {}, 400),
        ("POST", ACCOUNT_TOKEN, {"spec": 5}, {}, 400),
        ("POST", ACCOUNT_TOKEN, {"metadata": 5}, {}, 400),
        ("POST", ACCOUNT_TOKEN, {"kind": "Pod"}, {}, 400),
        ("POST", ACCOUNT_TOKEN, {"spec": {"expirationSeconds": "x"}}, {}, 400),
        ("POST", ACCOUNT_TOKEN, {"spec": {"expirationSeconds": 10**20}}, {}, 400),
        ("POST", ACCOUNT_TOKEN, {"spec": {"boundObjectRef": "p"}}, {}, 400),
        ("POST", TOKEN_REVIEW, {"spec": {"token": {}}}, {}, 400),
        ("POST", TOKEN_REVIEW, {"spec": {"token": "a.b.c", "audiences": 5}}, {}, 400),
        ("POST", TOKEN_REVIEW, [], {}, 400),
        ("POST", ACCESS, {"spec": {"user": 5}}, {}, 400),
        ("POST", ACCESS, {"spec": {"user": "u", "extra": {"a": 5}}}, {}, 400),
        ("POST", ACCESS, {"spec": {"user": "u", "resourceAttributes": "pods"}}, {}, 400),
        ("POST", BINDING, {"target": "node"}, {}, 400),
        ("POST", BINDING, {"target": {"name": {}}}, {}, 400),
        ("PUT", BINDING, {"target": {"name": "node"}}, {}, 405),
        ("POST", EVICTION, {"deleteOptions": "now"}, {}, 400),
        ("DELETE", f"{MAPS}/a", {"propagationPolicy": ["Orphan"]}, {}, 400),
        ("DELETE", f"{MAPS}/a", {"preconditions": 5}, {}, 400),
        ("DELETE", f"{MAPS}/a", {"gracePeriodSeconds": 10**30}, {}, 400),
        ("GET", "/api/v1/pods", None, {"Impersonate_Group": "system:masters"}, 400),
    ],
)  # fmt: skip
async def test_what_is_meant_to_hurt_is_refused(
    cluster: Cluster, method: str, path: str, body: Any, headers: dict[str, str], code: int
) -> None:
    if path == ACCOUNT_TOKEN:
        await cluster.call("POST", path.removesuffix("/default/token"), {"metadata": {"name": "default"}})
    sent = body.encode() if isinstance(body, str) else body
    answered, answer = await cluster.call(method, path, sent, **headers)
    assert (answered, answer["kind"], answer["code"]) == (code, "Status", code), answer
    assert answer["message"]
    assert answer["reason"]


async def test_keys_of_yaml_are_strings_as_in_json(cluster: Cluster) -> None:
    body = b"metadata: {name: a, labels: {1: x}}\ndata: {true: y}"
    code, answer = await cluster.call("POST", MAPS, body, Content_Type=YAML)
    assert code == 201, answer
    assert (answer["metadata"]["labels"], answer["data"]) == ({"1": "x"}, {"true": "y"})


async def test_aliases_that_are_no_attack_are_written_out(cluster: Cluster) -> None:
    body = b"metadata: {name: a, labels: &l {a: b}, annotations: *l}"
    code, answer = await cluster.call("POST", MAPS, body, Content_Type=YAML)
    assert code == 201, answer
    assert answer["metadata"]["annotations"] == {"a": "b"}


async def test_a_body_that_never_comes_is_not_waited_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_BODY_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(cluster.url.rpartition(":")[2]))
    writer.write(f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    async with asyncio.timeout(10):
        answer = await reader.read(4096)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive" in answer


@pytest.mark.parametrize("upgrade", ["SPDY/3.1", "websocket", "nonsense"])
async def test_an_upgrade_with_garbage_ends(cluster: Cluster, upgrade: str) -> None:
    await cluster.call("POST", "/api/v1/namespaces/default/pods", {
        "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "c"}]},
    })  # fmt: skip
    for what in ("exec?command=ls", "attach", "portforward", "log"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(cluster.url.rpartition(":")[2]))
        path = f"/api/v1/namespaces/default/pods/p/{what}"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
        writer.write(head.encode() + b"\x80\x03\x00\x01\xff\xff\xff\xff" * 20)
        async with asyncio.timeout(10):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 503")), answer
