"""How objects end. From "Garbage Collection", "Finalizers", "Namespaces" and "Owners and Dependents"."""

from typing import Any

import pytest
from tests.conformance import shapes
from tests.conformance.api import Api, unique

Object = dict[str, Any]


async def test_an_object_with_finalizers_goes_when_the_last_one_is_removed(api: Api) -> None:
    """ "Finalizers"; while it is being deleted, none can be added."""
    await api.create(api.path("configmaps"), shapes.config("a", finalizers=["example.org/one", "example.org/two"]))
    path = api.path("configmaps", "a")
    answer = await api.call("DELETE", path)
    assert answer.code in (200, 202)
    stamp = (await api.get(path))["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.org/one", "example.org/three"]}}
    answer = await api.call("PATCH", path, more, kind="application/merge-patch+json")
    assert {field for field, _ in answer.refused(422, "Invalid").causes()} == {"metadata.finalizers"}
    left = await api.patch(path, {"metadata": {"finalizers": ["example.org/two"], "deletionTimestamp": None}})
    assert left["metadata"]["deletionTimestamp"] == stamp
    await api.patch(path, {"metadata": {"finalizers": None}})
    assert await api.is_gone(path)


async def test_a_precondition_protects_the_successor_of_an_object(api: Api) -> None:
    """DeleteOptions: preconditions."""
    made = (await api.create(api.path("configmaps"), shapes.config("a")))["metadata"]
    path = api.path("configmaps", "a")
    for wrong in ({"uid": "another"}, {"resourceVersion": "1"}):
        (await api.call("DELETE", path, {"preconditions": wrong})).refused(409, "Conflict")
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert (await api.call("DELETE", path, {"preconditions": right})).code == 200
    assert await api.is_gone(path)


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    """API Concepts, "Collections": deletecollection."""
    for name, color in (("a", "red"), ("b", "blue")):
        await api.create(api.path("configmaps"), shapes.config(name, labels={"color": color}))
    assert (await api.call("DELETE", api.path("configmaps"), labelSelector="color=red")).code == 200
    assert await api.is_gone(api.path("configmaps", "a"))
    assert not await api.is_gone(api.path("configmaps", "b"))


async def test_a_pod_on_a_node_waits_for_its_kubelet_and_another_does_not(api: Api) -> None:
    """Pod Lifecycle, "Termination of Pods": grace periods, and forced deletion."""
    await api.allow_pods()
    for name, spec in (("placed", {"nodeName": "some-node"}), ("unplaced", {})):
        await api.create(api.path("pods"), shapes.pod(name, **spec))
    await api.call("DELETE", api.path("pods", "unplaced"))
    assert await api.is_gone(api.path("pods", "unplaced"))
    path = api.path("pods", "placed")
    await api.call("DELETE", path, {"gracePeriodSeconds": 20})
    metadata = (await api.get(path))["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 20
    assert metadata["deletionTimestamp"] > metadata["creationTimestamp"]
    await api.call("DELETE", path, {"gracePeriodSeconds": 5})
    assert (await api.get(path))["metadata"]["deletionGracePeriodSeconds"] == 5
    await api.call("DELETE", path, {"gracePeriodSeconds": 0})
    assert await api.is_gone(path)


async def test_a_namespace_is_closed_first_and_ends_when_it_is_finalized(api: Api) -> None:
    """Namespaces: phase Terminating, and the finalize subresource. Something in it holds it, whoever empties it."""
    name = unique("team")
    path, inside = api.path("namespaces", name), f"/api/v1/namespaces/{name}/configmaps"
    made = await api.create(api.path("namespaces"), {"metadata": {"name": name}})
    assert made["spec"]["finalizers"] == ["kubernetes"]
    assert made["metadata"]["labels"]["kubernetes.io/metadata.name"] == name
    await api.create(inside, shapes.config("held", finalizers=["example.org/hold"]))
    assert (await api.call("DELETE", path)).code in (200, 202)
    assert (await api.get(path))["status"]["phase"] == "Terminating"
    answer = (await api.call("POST", inside, shapes.config("late"))).refused(403, "Forbidden")
    assert ("metadata.namespace", "NamespaceTerminating") in answer.causes()
    assert "because it is being terminated" in answer.body["message"]
    await api.patch(f"{inside}/held", {"metadata": {"finalizers": None}})

    async def gone() -> bool:
        current = await api.call("GET", path)
        if current.code == 200:
            emptied = current.body | {"spec": {"finalizers": []}}
            await api.call("PUT", f"{path}/finalize", emptied)
        return current.code == 404

    await api.until(gone, "the namespace is gone")


async def test_the_clusters_own_namespaces_stay(api: Api) -> None:
    """Namespaces, "Initial namespaces": admission protects default, kube-system and kube-public."""
    for name in ("default", "kube-system", "kube-public"):
        (await api.call("DELETE", api.path("namespaces", name))).refused(403, "Forbidden")


def _owned_by(*owners: Object, **more: Any) -> list[Object]:
    return [
        {"apiVersion": "v1", "kind": "ConfigMap"} | {key: owner["metadata"][key] for key in ("name", "uid")} | more
        for owner in owners
    ]


async def test_an_owner_is_named_completely_and_one_may_control(api: Api) -> None:
    """OwnerReference: apiVersion, kind, name and uid are required; at most one controller."""
    owner = await api.create(api.path("configmaps"), shapes.config("owner"))
    (complete,) = _owned_by(owner)
    for field in ("apiVersion", "kind", "name", "uid"):
        body = shapes.config("a", ownerReferences=[complete | {field: ""}])
        answer = (await api.call("POST", api.path("configmaps"), body)).refused(422, "Invalid")
        assert all(where.startswith("metadata.ownerReferences") for where, _ in answer.causes())
    both = [*_owned_by(owner, controller=True), complete | {"uid": "x", "controller": True}]
    body = shapes.config("a", ownerReferences=both)
    (await api.call("POST", api.path("configmaps"), body)).refused(422, "Invalid")


async def test_foreground_deletion_leaves_the_end_to_the_garbage_collector(api: Api) -> None:
    """ "Foreground cascading deletion": the owner keeps a finalizer while its dependents go."""
    owner = await api.create(api.path("configmaps"), shapes.config("owner", finalizers=["example.org/hold"]))
    path = api.path("configmaps", "owner")
    assert (await api.call("DELETE", path, {"propagationPolicy": "Foreground"})).code in (200, 202)
    assert "example.org/hold" in (await api.get(path))["metadata"]["finalizers"]
    assert (await api.get(path))["metadata"]["uid"] == owner["metadata"]["uid"]
    await api.patch(path, {"metadata": {"finalizers": None}})
    assert await api.is_gone(path)


# --- with controllers -----------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("controllers")
async def test_dependents_go_after_their_last_owner(api: Api) -> None:
    """ "Background cascading deletion"."""
    one, two = [await api.create(api.path("configmaps"), shapes.config(name)) for name in ("one", "two")]
    await api.create(api.path("configmaps"), shapes.config("both", ownerReferences=_owned_by(one, two)))
    await api.create(api.path("configmaps"), shapes.config("of-one", ownerReferences=_owned_by(one)))
    await api.call("DELETE", api.path("configmaps", "one"))
    await api.until(lambda: api.is_gone(api.path("configmaps", "of-one")), "the dependent is gone")
    assert not await api.is_gone(api.path("configmaps", "both"))
    await api.call("DELETE", api.path("configmaps", "two"))
    await api.until(lambda: api.is_gone(api.path("configmaps", "both")), "the dependent of both is gone")


@pytest.mark.usefixtures("controllers")
async def test_orphans_stay(api: Api) -> None:
    """ "Orphaned dependents"."""
    owner = await api.create(api.path("configmaps"), shapes.config("owner"))
    await api.create(api.path("configmaps"), shapes.config("child", ownerReferences=_owned_by(owner)))
    await api.call("DELETE", api.path("configmaps", "owner"), {"propagationPolicy": "Orphan"})
    await api.until(lambda: api.is_gone(api.path("configmaps", "owner")), "the owner is gone")
    assert not (await api.get(api.path("configmaps", "child")))["metadata"].get("ownerReferences")


@pytest.mark.usefixtures("controllers")
async def test_a_namespace_takes_everything_in_it_along(api: Api) -> None:
    """Namespaces: deleting one deletes everything under it."""
    name = unique("team")
    path, inside = api.path("namespaces", name), f"/api/v1/namespaces/{name}/configmaps"
    await api.create(api.path("namespaces"), {"metadata": {"name": name}})
    await api.create(inside, shapes.config("a", finalizers=["example.org/hold"]))
    assert (await api.call("DELETE", path)).code in (200, 202)

    async def deleting() -> bool:
        return bool((await api.get(f"{inside}/a"))["metadata"].get("deletionTimestamp"))

    await api.until(deleting, "what is in the namespace is being deleted")
    assert (await api.get(path))["status"]["phase"] == "Terminating"
    await api.patch(f"{inside}/a", {"metadata": {"finalizers": None}})
    await api.until(lambda: api.is_gone(path), "the namespace is gone")


@pytest.mark.usefixtures("controllers")
async def test_a_namespace_gets_its_account_and_the_clusters_certificate(api: Api) -> None:
    """Service accounts, "Default service accounts"; ConfigMap kube-root-ca.crt."""
    for path in (api.path("serviceaccounts", "default"), api.path("configmaps", "kube-root-ca.crt")):

        async def there(path: str = path) -> bool:
            return not await api.is_gone(path)

        await api.until(there, f"{path} is there")
    assert "BEGIN CERTIFICATE" in (await api.get(api.path("configmaps", "kube-root-ca.crt")))["data"]["ca.crt"]
