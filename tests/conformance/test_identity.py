"""Who one is and what one may do. From "Authenticating", "Managing Service Accounts" and "Using RBAC Authorization"."""

import base64
import datetime
import json
from typing import Any

import pytest
from tests.conformance import shapes
from tests.conformance.api import Api, unique

Object = dict[str, Any]


async def _who(api: Api) -> Object:
    found: Object = (await api.create(api.path("selfsubjectreviews"), {}))["status"]["userInfo"]
    return found


async def _token(api: Api, account: str, **spec: Any) -> Object:
    path = api.path("serviceaccounts", account, "token")
    status: Object = (await api.create(path, {"spec": {"audiences": None, **spec}}))["status"]
    return status


async def _account(api: Api, name: str = "robot") -> str:
    await api.create(api.path("serviceaccounts"), {"metadata": {"name": name}})
    return f"system:serviceaccount:{api.namespace}:{name}"


async def _reviewed(api: Api, token: str, *audiences: str) -> Object:
    body = {"spec": {"token": token, "audiences": list(audiences)}}
    status: Object = (await api.create(api.path("tokenreviews"), body))["status"]
    return status


# --- authentication -------------------------------------------------------------------------------------------------
async def test_a_client_certificate_names_a_user_and_groups(api: Api) -> None:
    """ "X.509 client certificates": common name and organizations."""
    jane = await api.certified("jane", "dev", "ops")
    found = await _who(jane)
    assert found["username"] == "jane"
    assert {"dev", "ops", "system:authenticated"} <= set(found["groups"])


async def test_a_wrong_token_is_not_anonymous(api: Api) -> None:
    """ "Anonymous requests": those with an invalid bearer token get 401."""
    for token in ("nonsense", "a.b.c"):
        answer = (await (await api.bearing(token)).call("GET", "/api")).refused(401, "Unauthorized")
        assert answer.body["message"] == "Unauthorized"


async def test_a_service_account_acts_with_its_token(api: Api) -> None:
    """ "Service account tokens": user name and groups."""
    name = await _account(api)
    status = await _token(api, "robot")
    found = await _who(await api.bearing(status["token"]))
    assert found["username"] == name
    assert set(found["groups"]) == {
        "system:serviceaccounts",
        f"system:serviceaccounts:{api.namespace}",
        "system:authenticated",
    }


async def test_a_token_says_when_it_expires(api: Api) -> None:
    """TokenRequest: expirationSeconds, of at least ten minutes."""
    await _account(api)
    status = await _token(api, "robot", expirationSeconds=600)
    payload = status["token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    expires = datetime.datetime.fromisoformat(status["expirationTimestamp"].replace("Z", "+00:00"))
    assert (claims["exp"], claims["exp"] - claims["iat"]) == (int(expires.timestamp()), 600)
    assert claims["kubernetes.io"]["namespace"] == api.namespace
    short = {"spec": {"expirationSeconds": 10}}
    answer = await api.call("POST", api.path("serviceaccounts", "robot", "token"), short)
    assert ("spec.expirationSeconds", "FieldValueInvalid") in answer.refused(422, "Invalid").causes()


async def test_a_token_is_good_for_its_audience_only(api: Api) -> None:
    """TokenReview: audiences; a token for others is none for the API server."""
    name = await _account(api)
    token = (await _token(api, "robot", audiences=["vault.example.org"]))["token"]
    status = await _reviewed(api, token, "vault.example.org", "other.example.org")
    assert (status["authenticated"], status["audiences"]) == (True, ["vault.example.org"])
    assert status["user"]["username"] == name
    status = await _reviewed(api, token)
    assert not status.get("authenticated")
    assert status["error"]
    (await (await api.bearing(token)).call("GET", "/api")).refused(401, "Unauthorized")


async def test_a_token_that_is_none_is_not_authenticated(api: Api) -> None:
    status = await _reviewed(api, "nonsense")
    assert not status.get("authenticated")
    assert status["error"]


async def test_a_bound_token_tells_its_pod_and_ends_with_it(api: Api) -> None:
    """ "Bound service account tokens": revoked when the object they are bound to is deleted."""
    await api.allow_pods()
    pod = await api.create(api.path("pods"), shapes.pod("p"))
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    token = (await _token(api, "default", boundObjectRef=reference))["token"]
    extra = (await _who(await api.bearing(token)))["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
    await api.call("DELETE", api.path("pods", "p"), {"gracePeriodSeconds": 0})

    async def revoked() -> bool:
        return not (await _reviewed(api, token)).get("authenticated")

    await api.until(revoked, "the token is revoked")
    path = api.path("serviceaccounts", "default", "token")
    (await api.call("POST", path, {"spec": {"boundObjectRef": reference}})).refused(404, "NotFound")


async def test_a_token_ends_with_its_account(api: Api) -> None:
    """Managing Service Accounts: a deleted account's tokens are not valid, nor for its successor of the same name."""
    await _account(api)
    token = (await _token(api, "robot"))["token"]
    await api.call("DELETE", api.path("serviceaccounts", "robot"))
    await _account(api)

    async def revoked() -> bool:
        return not (await _reviewed(api, token)).get("authenticated")

    await api.until(revoked, "the token is revoked")
    (await api.call("POST", api.path("serviceaccounts", "none", "token"), {})).refused(404, "NotFound")


async def test_every_pod_has_an_account_and_its_token(api: Api) -> None:
    """Service accounts, "ServiceAccount admission controller"."""
    await api.allow_pods()
    spec = (await api.create(api.path("pods"), shapes.pod("p")))["spec"]
    assert spec["serviceAccountName"] == "default"
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    mount = {"name": volume["name"], "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    assert spec["containers"][0]["volumeMounts"] == [mount]
    declined = await api.create(api.path("pods"), shapes.pod("q", automountServiceAccountToken=False))
    assert not declined["spec"].get("volumes")
    answer = await api.call("POST", api.path("pods"), shapes.pod("r", serviceAccountName="nobody"))
    answer.refused(403, "Forbidden")
    assert 'serviceaccount "nobody" not found' in answer.body["message"]


# --- authorization --------------------------------------------------------------------------------------------------
def _rule(verbs: str, resources: str, **more: Any) -> Object:
    return {"apiGroups": [""], "verbs": verbs.split(), "resources": resources.split(), **more}


async def _may(api: Api, user: str, verb: str, resource: str, **more: str) -> bool:
    attributes = {"namespace": api.namespace, "verb": verb, "resource": resource, **more}
    body = {"spec": {"user": user, "resourceAttributes": attributes}}
    return bool((await api.create(api.path("subjectaccessreviews"), body))["status"]["allowed"])


async def _bind(api: Api, user: str, kind: str, name: str) -> None:
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
    reference = {"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": name}
    body = {"metadata": {"name": unique("b")}, "subjects": [subject], "roleRef": reference}
    await api.create(api.path("rolebindings"), body)


async def test_nothing_is_allowed_that_no_role_allows(api: Api) -> None:
    """ "Using RBAC Authorization"; the words of a refusal."""
    jane = await api.certified(unique("jane"))
    user = (await _who(jane))["username"]
    answer = (await jane.call("GET", api.path("configmaps"))).refused(403, "Forbidden")
    assert answer.body["message"] == (
        f'configmaps is forbidden: User "{user}" cannot list resource "configmaps" in API group "" '
        f'in the namespace "{api.namespace}"'
    )
    answer = (await jane.call("GET", api.path("deployments", "web"))).refused(403, "Forbidden")
    assert answer.body["message"].startswith(f'deployments.apps "web" is forbidden: User "{user}" cannot get resource')
    assert (await jane.call("GET", "/version")).code == 200
    assert (await jane.call("GET", "/apis")).code == 200


async def test_a_role_allows_what_its_rules_say_in_its_namespace(api: Api) -> None:
    """ "Role and ClusterRole": verbs, resources, resourceNames; bindings may be ahead of roles."""
    user = unique("jane")
    jane = await api.certified(user)
    await _bind(api, user, "Role", "reader")
    rules = [
        _rule("get", "configmaps", resourceNames=["mine"]),
        _rule("list watch", "secrets"),
        _rule("get", "pods/log"),
    ]
    await api.create(api.path("roles"), {"metadata": {"name": "reader"}, "rules": rules})
    await api.create(api.path("configmaps"), shapes.config("mine"))
    await api.until(lambda: _may(api, user, "list", "secrets"), "the role counts")
    assert (await jane.call("GET", api.path("configmaps", "mine"))).code == 200
    (await jane.call("GET", api.path("configmaps", "other"))).refused(403, "Forbidden")
    (await jane.call("GET", api.path("configmaps"))).refused(403, "Forbidden")
    (await jane.call("DELETE", api.path("configmaps", "mine"))).refused(403, "Forbidden")
    assert (await jane.call("GET", api.path("secrets"))).code == 200
    (await jane.call("GET", "/api/v1/secrets")).refused(403, "Forbidden")
    assert await _may(api, user, "get", "pods", subresource="log")
    assert not await _may(api, user, "get", "pods")
    assert not await _may(api, user, "list", "secrets", namespace="default")


async def test_anyone_may_ask_what_they_may_do(api: Api) -> None:
    """ "Checking API access": SelfSubjectAccessReview and SelfSubjectRulesReview."""
    user = unique("jane")
    jane = await api.certified(user)
    await _bind(api, user, "Role", "writer")
    rule = _rule("create", "configmaps")
    await api.create(api.path("roles"), {"metadata": {"name": "writer"}, "rules": [rule]})
    await api.until(lambda: _may(api, user, "create", "configmaps"), "the role counts")
    for verb, expected in (("create", True), ("delete", False)):
        attributes = {"namespace": api.namespace, "verb": verb, "resource": "configmaps"}
        body = {"spec": {"resourceAttributes": attributes}}
        answer = await jane.create(api.path("selfsubjectaccessreviews"), body)
        assert bool(answer["status"]["allowed"]) is expected
    body = {"spec": {"namespace": api.namespace}}
    found = (await jane.create(api.path("selfsubjectrulesreviews"), body))["status"]["resourceRules"]
    assert any(rule["verbs"] == ["create"] and rule["resources"] == ["configmaps"] for rule in found)
    (await jane.call("POST", api.path("subjectaccessreviews"), {"spec": {"user": "root"}})).refused(403, "Forbidden")
    body = {"spec": {"user": user}}
    (await api.call("POST", api.path("subjectaccessreviews"), body)).refused(422, "Invalid")


async def test_nobody_can_grant_what_they_do_not_have(api: Api) -> None:
    """ "Privilege escalation prevention and bootstrapping"."""
    user = unique("jane")
    jane = await api.certified(user)
    await _bind(api, user, "Role", "granter")
    rules = [
        {"apiGroups": ["rbac.authorization.k8s.io"], "verbs": ["create"], "resources": ["roles", "rolebindings"]},
        _rule("get", "configmaps"),
    ]
    await api.create(api.path("roles"), {"metadata": {"name": "granter"}, "rules": rules})
    await api.until(lambda: _may(api, user, "get", "configmaps"), "the role counts")
    granted = {"metadata": {"name": "fine"}, "rules": [_rule("get", "configmaps")]}

    async def created() -> bool:
        return (await jane.call("POST", api.path("roles"), granted)).code in (201, 409)

    await api.until(created, "what one has can be granted")
    more = {"metadata": {"name": "more"}, "rules": [_rule("get", "secrets")]}
    (await jane.call("POST", api.path("roles"), more)).refused(403, "Forbidden")
    binding = {
        "metadata": {"name": "all"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
        "roleRef": {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "cluster-admin"},
    }
    (await jane.call("POST", api.path("rolebindings"), binding)).refused(403, "Forbidden")


async def test_whoever_may_impersonate_is_the_other_in_every_respect(api: Api) -> None:
    """Authenticating, "User impersonation": the headers, and the groups that come by themselves."""
    other = api.impersonating(user="bob", group="builders", uid="7", extra_scopes="view")
    info = (await other.create(api.path("selfsubjectreviews"), {}))["status"]["userInfo"]
    assert (info["username"], info["uid"], info["extra"]) == ("bob", "7", {"scopes": ["view"]})
    assert set(info["groups"]) == {"builders", "system:authenticated"}
    refused = (await other.call("GET", api.path("secrets"))).refused(403, "Forbidden")
    assert 'User "bob" cannot list resource "secrets"' in refused.body["message"]
    account = api.impersonating(user=f"system:serviceaccount:{api.namespace}:robot")
    info = (await account.create(api.path("selfsubjectreviews"), {}))["status"]["userInfo"]
    groups = {"system:serviceaccounts", f"system:serviceaccounts:{api.namespace}", "system:authenticated"}
    assert set(info["groups"]) == groups


async def test_the_right_to_impersonate_is_one_like_any_other(api: Api) -> None:
    """Authenticating, "User impersonation": the verb `impersonate` on users, groups, and serviceaccounts."""
    user = unique("jane")
    jane = await api.certified(user)
    role = unique("as")
    for resource in ("clusterroles", "clusterrolebindings"):
        api.ending.push_async_callback(api.call, "DELETE", api.path(resource, role))
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
    reference = {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": role}
    rules = [_rule("impersonate", "users", resourceNames=["bob"])]
    await api.create(api.path("clusterroles"), {"metadata": {"name": role}, "rules": rules})
    binding = {"metadata": {"name": role}, "subjects": [subject], "roleRef": reference}
    await api.create(api.path("clusterrolebindings"), binding)
    bob = jane.impersonating(user="bob")

    async def counts() -> bool:
        return (await bob.call("POST", api.path("selfsubjectreviews"), {})).code == 201

    await api.until(counts, "the role counts")
    mallory = jane.impersonating(user="mallory")
    refused = (await mallory.call("GET", "/api")).refused(403, "Forbidden")
    assert f'User "{user}" cannot impersonate' in refused.body["message"]
    masters = jane.impersonating(user="bob", group="system:masters")
    (await masters.call("GET", "/api")).refused(403, "Forbidden")
    robot = jane.impersonating(user=f"system:serviceaccount:{api.namespace}:robot")
    (await robot.call("GET", "/api")).refused(403, "Forbidden")


@pytest.mark.usefixtures("controllers")
async def test_a_role_can_be_the_sum_of_others(api: Api) -> None:
    """ "Aggregated ClusterRoles"."""
    user, label = unique("jane"), unique("sum")
    names = [unique("part"), unique("all")]
    for name in names:
        api.ending.push_async_callback(api.call, "DELETE", api.path("clusterroles", name))
    selector = {"clusterRoleSelectors": [{"matchLabels": {label: "yes"}}]}
    await api.create(api.path("clusterroles"), {"metadata": {"name": names[1]}, "aggregationRule": selector})
    await _bind(api, user, "ClusterRole", names[1])
    assert not await _may(api, user, "get", "configmaps")
    part = {"metadata": {"name": names[0], "labels": {label: "yes"}}, "rules": [_rule("get", "configmaps")]}
    await api.create(api.path("clusterroles"), part)
    await api.until(lambda: _may(api, user, "get", "configmaps"), "the part counts")


@pytest.mark.usefixtures("controllers")
async def test_a_secret_can_hold_a_token_that_lasts(api: Api) -> None:
    """ "Manually create a long-lived API token for a ServiceAccount"."""
    name = await _account(api)
    annotations = {"kubernetes.io/service-account.name": "robot"}
    body = {"metadata": {"name": "t", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    await api.create(api.path("secrets"), body)

    async def filled() -> bool:
        return "token" in ((await api.get(api.path("secrets", "t"))).get("data") or {})

    await api.until(filled, "the token is there")
    token = base64.b64decode((await api.get(api.path("secrets", "t")))["data"]["token"]).decode()
    assert (await _who(await api.bearing(token)))["username"] == name
