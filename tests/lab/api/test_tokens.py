"""Service account tokens: whom they speak for, and what ends them."""

import base64
from typing import Any

import pytest

from isthmus.lab.api.contracts import ApiError, User
from isthmus.lab.api.rbac import Rbac
from isthmus.lab.api.reviews import ClusterReviews
from isthmus.lab.api.tokens import Account, InvalidTokenError, Tokens
from isthmus.lab.pki import Pki, create

WEB = Account("shop", "web", "uid-web")
API = "https://kubernetes.default.svc.cluster.local"


class Objects:
    """A store to read from."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str | None, str], dict[str, Any]] = {}

    def put(self, resource: str, namespace: str | None, name: str, uid: str = "", **rest: Any) -> None:
        self.kept[resource, namespace, name] = {"metadata": {"name": name, "namespace": namespace, "uid": uid}} | rest

    def get(self, group: str, resource: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        return self.kept.get((resource, namespace, name))

    def list(self, group: str, resource: str, namespace: str | None = None) -> list[dict[str, Any]]:
        return [found for (kind, home, _), found in self.kept.items() if kind == resource and namespace in (None, home)]


@pytest.fixture
def store() -> Objects:
    objects = Objects()
    objects.put("serviceaccounts", "shop", "web", "uid-web")
    objects.put("pods", "shop", "web-1", "uid-pod", spec={"nodeName": "west-node"})
    return objects


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return create(tmp_path_factory.mktemp("pki"), cluster="west", node_ip="172.30.0.11")


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def tokens(pki: Pki, now: list[float]) -> Tokens:
    return Tokens(Tokens.load(pki.account_key.read_bytes()).key, clock=lambda: now[0])


@pytest.fixture
def reviews(tokens: Tokens, store: Objects) -> ClusterReviews:
    return ClusterReviews(tokens, Rbac(store), store)


async def request(reviews: ClusterReviews, **spec: Any) -> dict[str, Any]:
    return await reviews.handle("TokenRequest", User("admin"), {"spec": spec}, "shop", "web")


async def review(reviews: ClusterReviews, token: str, *audiences: str) -> dict[str, Any]:
    spec = {"token": token, "audiences": list(audiences)}
    answer = await reviews.handle("TokenReview", User("admin"), {"spec": spec}, "", "")
    status: dict[str, Any] = answer["status"]
    return status


POD = {"kind": "Pod", "apiVersion": "v1", "name": "web-1", "uid": "uid-pod"}


async def test_a_token_is_not_good_for_another_audience(reviews: ClusterReviews) -> None:
    made = await request(reviews, audiences=["identity.l5d.io"])
    status = await review(reviews, made["status"]["token"])
    assert status == {
        "authenticated": False,
        "user": {},
        "error": 'invalid bearer token, token audiences ["identity.l5d.io"] is invalid for the target '
        f'audiences ["{API}"]',
    }


async def test_without_an_audience_a_token_is_for_the_api_server(reviews: ClusterReviews) -> None:
    made = await request(reviews)
    assert made["spec"]["audiences"] == [API]
    assert (await review(reviews, made["status"]["token"]))["audiences"] == [API]


async def test_a_token_expires(reviews: ClusterReviews, now: list[float]) -> None:
    token = (await request(reviews, expirationSeconds=600))["status"]["token"]
    now[0] += 599
    assert (await review(reviews, token))["authenticated"]
    now[0] += 1
    assert (await review(reviews, token))["error"] == "service account token has expired"


async def test_deleting_the_pod_revokes_its_token(reviews: ClusterReviews, store: Objects) -> None:
    token = (await request(reviews, boundObjectRef=POD))["status"]["token"]
    store.put("pods", "shop", "web-1", "uid-of-its-successor")
    assert (await review(reviews, token))["error"] == 'pods "shop/web-1" of this token no longer exists'


async def test_another_clusters_token_is_not_accepted(reviews: ClusterReviews, tmp_path: Any) -> None:
    east = create(tmp_path, cluster="east", node_ip="172.30.0.12")
    token, _ = Tokens.load(east.account_key.read_bytes()).mint(WEB, audiences=[API], seconds=600)
    assert (await review(reviews, token))["error"] == "invalid bearer token: Signature verification failed"


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."])
async def test_nonsense_is_no_token(reviews: ClusterReviews, token: str) -> None:
    assert (await review(reviews, token))["error"].startswith("invalid bearer token")


def test_a_secrets_token_is_good_as_long_as_the_secret_holds_it(tokens: Tokens, store: Objects) -> None:
    data = tokens.service_account_secret_data("shop", "web", "CA", uid="uid-web", secret="web-token")
    assert base64.b64decode(data["ca.crt"]) == b"CA"
    assert base64.b64decode(data["namespace"]) == b"shop"
    token = base64.b64decode(data["token"]).decode()
    with pytest.raises(InvalidTokenError, match="was deleted"):
        tokens.verify(token, store=store)
    store.put("secrets", "shop", "web-token", data=data)
    assert tokens.verify(token, store=store).user.name == "system:serviceaccount:shop:web"
    with pytest.raises(InvalidTokenError, match="invalid for the target audiences"):
        tokens.verify(token, store=store, audiences=["identity.l5d.io"])
    store.put("secrets", "shop", "web-token", data=data | {"token": "b3RoZXI="})
    with pytest.raises(InvalidTokenError, match="holds another token"):
        tokens.verify(token, store=store)


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 10}, 422, "may not specify a duration less than 10 minutes"),
        ({"boundObjectRef": {"kind": "Pod", "name": "gone"}}, 404, 'pods "gone" not found'),
        ({"boundObjectRef": POD | {"uid": "old"}}, 409, r"UID in the bound object reference \(old\) does not match"),
        ({"boundObjectRef": {"kind": "Service", "name": "x"}}, 400, "cannot bind token to Service"),
    ],
)
async def test_requests_that_make_no_sense(
    reviews: ClusterReviews, spec: dict[str, Any], code: int, message: str
) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        await request(reviews, **spec)
    assert refused.value.code == code


async def test_no_tokens_for_an_account_that_is_not_there(reviews: ClusterReviews) -> None:
    with pytest.raises(ApiError, match='serviceaccounts "other" not found'):
        await reviews.handle("TokenRequest", User("admin"), {}, "shop", "other")


async def test_access_reviews_answer_for_oneself_and_for_others(reviews: ClusterReviews) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "shop"}
    spec = {"resourceAttributes": attributes}
    own = await reviews.handle("SelfSubjectAccessReview", User("jane"), {"spec": spec}, "", "")
    assert own["status"] == {"allowed": False}
    spec |= {"user": "root", "groups": ["system:masters"]}
    other = await reviews.handle("SubjectAccessReview", User("jane"), {"spec": spec}, "", "")
    assert other["status"] == {"allowed": True}
    with pytest.raises(ApiError, match="exactly one of"):
        await reviews.handle("SelfSubjectAccessReview", User("jane"), {"spec": {}}, "", "")
