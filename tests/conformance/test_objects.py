"""Objects and lists. From "Kubernetes API Concepts" and the API conventions ("Metadata", "Concurrency control")."""

from tests.conformance import shapes
from tests.conformance.api import APPLY, METADATA, TABLE, Api


async def test_the_server_and_not_the_client_says_what_an_object_is_known_by(api: Api) -> None:
    """Conventions, "Metadata": uid, resourceVersion and creationTimestamp are set by the system."""
    asked = shapes.config("a", uid="mine", creationTimestamp="2001-01-01T00:00:00Z")
    made = (await api.create(api.path("configmaps"), asked))["metadata"]
    assert made["uid"] != "mine"
    assert made["creationTimestamp"] > "2001-01-01T00:00:00Z"
    assert (made["name"], made["namespace"]) == ("a", api.namespace)
    assert made["resourceVersion"]


async def test_a_recreated_object_is_another_one(api: Api) -> None:
    """Object Names and IDs: every object over the whole lifetime of a cluster has a distinct uid."""
    path = api.path("configmaps", "a")
    uids = set()
    for _ in range(2):
        uids.add((await api.create(api.path("configmaps"), shapes.config("a")))["metadata"]["uid"])
        assert (await api.call("DELETE", path)).code == 200
    assert len(uids) == 2


async def test_a_name_is_given_once(api: Api) -> None:
    await api.create(api.path("configmaps"), shapes.config("a"))
    answer = await api.call("POST", api.path("configmaps"), shapes.config("a"))
    answer.refused(409, "AlreadyExists")
    assert answer.body["message"] == 'configmaps "a" already exists'
    assert answer.body["details"] == {"name": "a", "kind": "configmaps"}
    wrong = shapes.config("a", labels={"a": "-"})
    (await api.call("POST", api.path("configmaps"), wrong)).refused(422, "Invalid")
    (await api.call("POST", api.path("configmaps"), shapes.config("a"), dryRun="All")).refused(409, "AlreadyExists")


async def test_of_two_writers_who_read_the_same_version_the_second_is_refused(api: Api) -> None:
    """Conventions, "Concurrency Control and Consistency"."""
    first = await api.create(api.path("configmaps"), shapes.config("a"))
    path = api.path("configmaps", "a")
    second = await api.call("PUT", path, first | {"data": {"a": "2"}})
    assert second.body["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    answer = (await api.call("PUT", path, first | {"data": {"a": "3"}})).refused(409, "Conflict")
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    patch = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": "4"}}
    (await api.call("PATCH", path, patch, kind="application/merge-patch+json")).refused(409, "Conflict")
    assert (await api.get(path))["data"] == {"a": "2"}


async def test_the_generation_counts_changes_of_the_desired_state_only(api: Api) -> None:
    """Conventions, "Metadata": generation is a sequence number of a specific generation of the desired state."""
    await api.create(api.path("deployments"), shapes.deployment("web"))
    path = api.path("deployments", "web")
    labelled = await api.patch(path, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    scaled = await api.patch(path, {"spec": {"replicas": 2}})
    assert scaled["metadata"]["generation"] == 2


async def test_status_and_spec_are_written_at_different_paths(api: Api) -> None:
    """Conventions, "Spec and Status": the status subresource ignores spec, and the object ignores status."""
    await api.create(api.path("deployments"), shapes.deployment("web"))
    both = {"spec": {"replicas": 7}, "status": {"replicas": 3}}
    written = await api.patch(api.path("deployments", "web", "status"), both)
    assert (written["spec"]["replicas"], written["status"]["replicas"]) == (1, 3)
    assert written["metadata"]["generation"] == 1
    written = await api.patch(api.path("deployments", "web"), both | {"status": {"replicas": 9}})
    assert (written["spec"]["replicas"], written["status"]["replicas"]) == (7, 3)


async def test_generated_names_differ(api: Api) -> None:
    """Conventions, "Idempotency": the server makes a unique name from generateName."""
    body = {"metadata": {"generateName": "a-"}}
    names = {(await api.create(api.path("configmaps"), body))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("a-") for name in names)


async def test_a_dry_run_answers_and_stores_nothing(api: Api) -> None:
    """API Concepts, "Dry-run": every stage runs as normal, except for the final storage."""
    made = await api.create(api.path("configmaps"), shapes.config("a"), dryRun="All")
    assert made["metadata"]["uid"]
    assert await api.is_gone(api.path("configmaps", "a"))
    await api.create(api.path("configmaps"), shapes.config("b"))
    path = api.path("configmaps", "b")
    assert (await api.patch(path, {"data": {"a": "2"}}, dryRun="All"))["data"] == {"a": "2"}
    assert (await api.call("DELETE", path, dryRun="All")).code == 200
    assert (await api.get(path))["data"] == {"a": "1"}
    (await api.call("POST", api.path("configmaps"), shapes.config("c"), dryRun="some")).refused(422, "Invalid")


async def test_long_lists_come_in_pieces_of_one_moment(api: Api) -> None:
    """API Concepts, "Retrieving large results sets in chunks": the pieces are a consistent snapshot."""
    path = api.path("configmaps")
    for name in ("m1", "m2", "m3", "m4", "m5"):
        await api.create(path, shapes.config(name, labels={"of": "this"}))
    only = {"labelSelector": "of=this", "limit": "2"}
    first = await api.get(path, **only)
    await api.create(path, shapes.config("m3a", labels={"of": "this"}))
    await api.call("DELETE", api.path("configmaps", "m4"))
    await api.patch(api.path("configmaps", "m5"), {"data": {"a": "late"}})
    found, page = [*first["items"]], first
    while token := page["metadata"].get("continue"):
        page = await api.get(path, **{"continue": token}, **only)
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        found += page["items"]
    assert [item["metadata"]["name"] for item in found] == ["m1", "m2", "m3", "m4", "m5"]
    assert found[-1]["data"] == {"a": "1"}
    (await api.call("GET", path, **{"continue": "nonsense"})).refused(400, "BadRequest")


async def test_a_piece_says_how_much_is_left(api: Api) -> None:
    """ListMeta: remainingItemCount, for lists without selectors."""
    for name in ("m1", "m2", "m3"):
        await api.create(api.path("secrets"), {"metadata": {"name": name}})
    assert (await api.get(api.path("secrets"), limit="1"))["metadata"]["remainingItemCount"] == 2


async def test_labels_select(api: Api) -> None:
    """Labels and Selectors: equality-based and set-based requirements."""
    for name, tier in (("a", "web"), ("b", "db"), ("c", "")):
        labels = {"suite": "labels"} | ({"tier": tier} if tier else {})
        await api.create(api.path("configmaps"), shapes.config(name, labels=labels))
    for selector, expected in (
        ("tier=web", "a"),
        ("tier==db", "b"),
        ("tier!=web", "bc"),
        ("tier", "ab"),
        ("!tier", "c"),
        ("tier in (web, db)", "ab"),
        ("tier notin (web)", "bc"),
        ("tier,tier!=db", "a"),
    ):
        found = await api.get(api.path("configmaps"), labelSelector=f"suite=labels,{selector}")
        assert "".join(item["metadata"]["name"] for item in found["items"]) == expected, selector
    (await api.call("GET", api.path("configmaps"), labelSelector="a~~b")).refused(400, "BadRequest")


async def test_fields_select(api: Api) -> None:
    """Field Selectors: metadata.name and metadata.namespace for every kind, others are refused."""
    for name in ("a", "b"):
        await api.create(api.path("configmaps"), shapes.config(name, labels={"suite": "fields"}))
    for selector, expected in (("metadata.name=a", "a"), ("metadata.name!=a", "b"), ("metadata.namespace=x", "")):
        query = {"labelSelector": "suite=fields", "fieldSelector": selector}
        found = await api.get(api.path("configmaps"), **query)
        assert "".join(item["metadata"]["name"] for item in found["items"]) == expected, selector
    (await api.call("GET", api.path("configmaps"), fieldSelector="spec.color=red")).refused(400, "BadRequest")


async def test_a_list_can_be_had_as_a_table_or_as_metadata_alone(api: Api) -> None:
    """API Concepts, "Receiving resources as Tables"; "metadata-only" lists."""
    await api.create(api.path("configmaps"), shapes.config("a", labels={"suite": "tables"}))
    only = {"labelSelector": "suite=tables"}
    table = (await api.call("GET", api.path("configmaps"), accept=TABLE, **only)).body
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:2] == ["a", 1]
    assert (row["object"]["kind"], row["object"]["metadata"]["name"]) == ("PartialObjectMetadata", "a")
    partial = (await api.call("GET", api.path("configmaps"), accept=METADATA, **only)).body
    assert partial["kind"] == "PartialObjectMetadataList"
    assert "data" not in partial["items"][0]


async def test_scaling_goes_through_the_scale_subresource(api: Api) -> None:
    """API Concepts, "Resource types": scale reads and writes the number of replicas of any workload."""
    await api.create(api.path("deployments"), shapes.deployment("web"))
    path = api.path("deployments", "web", "scale")
    scale = await api.get(path)
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=web")
    answer = await api.call("PUT", path, scale | {"spec": {"replicas": 3}})
    assert answer.body["spec"] == {"replicas": 3}
    await api.patch(path, {"spec": {"replicas": 2}})
    assert (await api.get(api.path("deployments", "web")))["spec"]["replicas"] == 2


async def test_what_is_left_out_is_filled_in(api: Api) -> None:
    """API reference: the defaults of Deployment, PodTemplate, Service and their parts."""
    spec = (await api.create(api.path("deployments"), shapes.deployment("web")))["spec"]
    assert (spec["replicas"], spec["strategy"]["type"], spec["revisionHistoryLimit"]) == (1, "RollingUpdate", 10)
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
    template = spec["template"]["spec"]
    assert (template["restartPolicy"], template["dnsPolicy"]) == ("Always", "ClusterFirst")
    assert template["terminationGracePeriodSeconds"] == 30
    assert template["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    ports = (await api.create(api.path("services"), shapes.service("web")))["spec"]["ports"]
    assert ports == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


async def test_services_get_addresses_and_node_ports_that_nobody_else_has(api: Api) -> None:
    """Service: cluster IPs and node ports are allocated, from 30000 to 32767."""
    ports = [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}]
    made = [
        (await api.create(api.path("services"), shapes.service(f"s{number}", type="NodePort", ports=ports)))["spec"]
        for number in range(3)
    ]
    assert len({spec["clusterIP"] for spec in made}) == 3
    chosen = [port["nodePort"] for spec in made for port in spec["ports"]]
    assert len(set(chosen)) == 6
    assert all(30000 <= port <= 32767 for port in chosen)
    taken = shapes.service("t", type="NodePort", ports=[{"port": 80, "nodePort": chosen[0]}])
    answer = (await api.call("POST", api.path("services"), taken)).refused(422, "Invalid")
    assert answer.causes() == {("spec.ports[0].nodePort", "FieldValueInvalid")}
    assert "provided port is already allocated" in answer.body["message"]


async def test_a_service_keeps_its_address(api: Api) -> None:
    """Service, "Choosing your own IP address"; clusterIP may not change once set."""
    first = (await api.create(api.path("services"), shapes.service("s")))["spec"]
    path = api.path("services", "s")
    changed = await api.patch(path, {"spec": {"type": "NodePort"}})
    assert changed["spec"]["clusterIP"] == first["clusterIP"]
    other = {"spec": {"clusterIP": "10.96.200.200", "clusterIPs": ["10.96.200.200"]}}
    (await api.call("PATCH", path, other, kind="application/merge-patch+json")).refused(422, "Invalid")
    headless = await api.create(api.path("services"), shapes.service("h", clusterIP="None"))
    assert headless["spec"]["clusterIP"] == "None"


async def test_the_strings_of_a_secret_become_its_data(api: Api) -> None:
    """Secret: stringData is write-only, and merged into data, as base64."""
    made = await api.create(api.path("secrets"), {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"a": "Yg=="}, "Opaque", False)


async def test_what_is_declared_immutable_stays(api: Api) -> None:
    """ConfigMap and Secret, `immutable`; Secret, `type`; Deployment, "selector is immutable"."""
    await api.create(api.path("configmaps"), shapes.config("a") | {"immutable": True})
    merge = "application/merge-patch+json"
    (await api.call("PATCH", api.path("configmaps", "a"), {"data": {"a": "2"}}, kind=merge)).refused(422, "Invalid")
    (await api.call("PATCH", api.path("configmaps", "a"), {"immutable": False}, kind=merge)).refused(422, "Invalid")
    await api.create(api.path("deployments"), shapes.deployment("web"))
    other = {"spec": {"selector": {"matchLabels": {"b": "c"}}, "template": {"metadata": {"labels": {"b": "c"}}}}}
    answer = await api.call("PATCH", api.path("deployments", "web"), other, kind=merge)
    assert ("spec.selector", "FieldValueInvalid") in answer.refused(422, "Invalid").causes()


async def test_a_lease_is_won_by_one(api: Api) -> None:
    """Leases, "Leader election": whoever updates the version that both have read holds it."""
    body = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "", "leaseDurationSeconds": 15}}
    read = await api.create(api.path("leases"), body)
    codes = []
    for who in ("one", "two"):
        mine = read | {"spec": read["spec"] | {"holderIdentity": who, "renewTime": "2026-01-02T03:04:05.678901Z"}}
        codes.append((await api.call("PUT", api.path("leases", "leader"), mine)).code)
    assert codes == [200, 409]
    spec = (await api.get(api.path("leases", "leader")))["spec"]
    assert (spec["holderIdentity"], spec["renewTime"]) == ("one", "2026-01-02T03:04:05.678901Z")
    wrong = {"spec": {"leaseDurationSeconds": 0}}
    answer = await api.call("PATCH", api.path("leases", "leader"), wrong, kind="application/merge-patch+json")
    assert answer.refused(422, "Invalid").causes() == {("spec.leaseDurationSeconds", "FieldValueInvalid")}


async def test_events_are_about_objects_of_their_namespace_and_selected_by_them(api: Api) -> None:
    """Event v1: involvedObject; field selectors of events."""
    for number, namespace in enumerate((api.namespace, "another")):
        event = {
            "metadata": {"name": f"e{number}"},
            "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"},
            "reason": "Tried",
            "type": "Normal",
        }
        answer = await api.call("POST", api.path("events"), event)
        if namespace == api.namespace:
            assert answer.code == 201, answer.body
        else:
            assert ("involvedObject.namespace", "FieldValueInvalid") in answer.refused(422, "Invalid").causes()
    found = await api.get(api.path("events"), fieldSelector="involvedObject.name=p,involvedObject.kind=Pod")
    assert [item["metadata"]["name"] for item in found["items"]] == ["e0"]
    assert not (await api.get(api.path("events"), fieldSelector="reason=Other"))["items"]


async def test_events_are_the_same_in_both_of_their_groups(api: Api) -> None:
    """Event of events.k8s.io/v1: regarding, note and the deprecated fields are those of the core group's."""
    event = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "namespace": api.namespace, "name": "p"},
        "reason": "Tried",
        "action": "Trying",
        "note": "in vain",
        "type": "Warning",
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "example.org/tester",
        "reportingInstance": "tester-1",
    }
    new = api.path("events", group="events.k8s.io/v1")
    made = await api.create(new, event)
    assert (made["apiVersion"], made["note"]) == ("events.k8s.io/v1", "in vain")
    found = await api.get(api.path("events", "e"))
    assert (found["apiVersion"], found["message"], found["involvedObject"]["name"]) == ("v1", "in vain", "p")
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    (item,) = (await api.get(new, fieldSelector="regarding.name=p"))["items"]
    assert item["regarding"]["name"] == "p"
    table = (await api.call("GET", new, accept=TABLE)).body
    assert table["rows"][0]["cells"][1:3] == ["Warning", "Tried"]


async def test_applying_says_whether_the_object_is_new(api: Api) -> None:
    """API Concepts, "Server-side apply": 201 for an object that was not there, 200 afterwards."""
    body = shapes.applied("v1", "ConfigMap", shapes.config("a"))
    for code in (201, 200):
        answer = await api.call("PATCH", api.path("configmaps", "a"), body, kind=APPLY, fieldManager="me")
        assert answer.code == code


async def test_everything_served_can_be_discovered(api: Api) -> None:
    """API Concepts, "API Discovery"; OpenAPI v3 by group version."""
    core = await api.get("/api/v1")
    found = {resource["name"]: resource for resource in core["resources"]}
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(found["configmaps"]["verbs"])
    assert (found["services"]["kind"], found["services"]["shortNames"]) == ("Service", ["svc"])
    assert {"pods/log", "pods/exec", "serviceaccounts/token"} <= set(found)
    groups = {group["name"] for group in (await api.get("/apis"))["groups"]}
    assert {"apps", "rbac.authorization.k8s.io", "apiextensions.k8s.io", "coordination.k8s.io"} <= groups
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    answer = await api.call("GET", "/apis", accept=aggregated)
    assert answer.body["kind"] == "APIGroupDiscoveryList"
    paths = (await api.get("/openapi/v3"))["paths"]
    assert {"api/v1", "apis/apps/v1"} <= set(paths)
    assert (await api.get("/version"))["gitVersion"].startswith("v1.")
