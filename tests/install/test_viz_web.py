"""What is installed for the page of all linked clusters."""

from isthmus.install import viz_web
from isthmus.install.viz import manifests
from isthmus.install.viz_values import VizValues
from isthmus.viz import api, web_main, web_sources


def printed(**values):
    return {(item["kind"], item["metadata"]["name"]): item for item in manifests(VizValues(**values))}


def test_a_cluster_without_links_gets_nothing_in_a_namespace_that_is_not_there():
    spaces = {item["metadata"].get("namespace", "") for item in manifests(VizValues(multicluster=False))}
    assert "linkerd-multicluster" not in spaces
    assert ("RoleBinding", "linkerd-viz-web") in printed()


def test_who_does_not_share_gives_linking_clusters_nothing():
    assert ("RoleBinding", viz_web.SHARED) in printed()
    assert not [key for key in printed(shared=False) if viz_web.SHARED in key]
    assert ("Deployment", "web") in printed(shared=False)
    assert ("Deployment", "web") not in printed(page=False)


def test_the_page_is_served_on_loopback_and_asks_what_the_role_allows():
    assert web_main.parser().parse_args([]).listen == "127.0.0.1:8084"
    assert viz_web.API_PORT == api.PORT
    (role,) = [item for item in viz_web.shared_access("linkerd-viz") if item["kind"] == "Role"]
    (name,) = role["rules"][0]["resourceNames"]
    assert f"/api/v1/namespaces/linkerd-viz/services/{name}/proxy" == web_sources.REMOTE
