"""What deletions in the wrong order leave behind, and what the user is told to do about it."""

from types import SimpleNamespace
from typing import Any

import pytest

from isthmus import names
from isthmus.cli.control_plane import CONFIG_MAPS, NAMESPACES
from isthmus.cli.health import Settled
from isthmus.cli.link_controller_checks import LinkControllers
from isthmus.cli.multicluster_check import Extension
from isthmus.cli.stuck_links import stuck
from isthmus.kube import errors
from isthmus.multicluster.objects import LINKS

HERE = names.MULTICLUSTER_NAMESPACE


def cluster(*, deleted: bool = True, finalizers: list[str] | None = None) -> Any:
    """One whose extension's namespace and Link are there, and nothing else."""
    objects = {NAMESPACES: {"metadata": {"deletionTimestamp": "now"} if deleted else {}}}

    def get(kind: Any, name: str, namespace: str | None = None) -> Any:
        if kind not in objects:
            raise errors.NotFound("not found", code=404)
        return objects[kind]

    link = {"metadata": {"name": "linkerd-west", "finalizers": finalizers}}
    return SimpleNamespace(get=get, list=lambda kind, *_, **__: [link] if kind is LINKS else [])


def test_a_namespace_that_waits_for_links_whose_controller_went_with_it_is_let_go_of_by_one_command() -> None:
    there = cluster(finalizers=[names.LINK_FINALIZER])
    command = f"kubectl -n {HERE} patch links.{names.LINK_GROUP} linkerd-west --type=merge"
    assert command in stuck(there)
    with pytest.raises(Settled, match=command):
        LinkControllers(there, HERE).require_running()


@pytest.mark.parametrize("there", [cluster(deleted=False, finalizers=[names.LINK_FINALIZER]), cluster()])
def test_where_installing_again_helps_nothing_else_is_advised(there: Any) -> None:
    assert stuck(there) == ""
    with pytest.raises(Settled, match="linkerd multicluster install"):
        LinkControllers(there, HERE).require_running()


def pod(domain: str) -> dict[str, Any]:
    proxy = {"name": names.PROXY_CONTAINER, "env": [{"name": "ISTHMUS_TRUST_DOMAIN", "value": domain}]}
    status = {"initContainerStatuses": [{"name": names.PROXY_CONTAINER, "ready": True}]}
    return {"metadata": {"name": "gw", "namespace": HERE}, "spec": {"initContainers": [proxy], "containers": []}} | {
        "status": status
    }


@pytest.mark.parametrize(("domain", "older"), [("before.example", True), ("now.example", False)])
def test_pods_that_are_older_than_a_control_plane_that_was_installed_anew_are_to_be_restarted(
    domain: str, *, older: bool
) -> None:
    def get(kind: Any, name: str, namespace: str) -> Any:
        if kind != CONFIG_MAPS:
            raise errors.NotFound("not found", code=404)
        return {"data": {names.TRUST_DOMAIN_KEY: "now.example"}}

    there: Any = SimpleNamespace(get=get, list=lambda *_, **__: [pod(domain)])
    extension = Extension(there)
    if not older:
        extension.require_proxies()
        return
    with pytest.raises(Settled, match=r"is of trust domain before.example, .* rollout restart deploy"):
        extension.require_proxies()
