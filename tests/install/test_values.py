"""Values by Linkerd's names: what can be set can be set in every way, and what cannot is said."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.install import assignments, schema, values
from isthmus.install.multicluster_values import MulticlusterValues
from isthmus.install.schema import ValuesError
from isthmus.install.values import InstallValues
from isthmus.install.viz_values import VizValues

DEFAULTS = schema.tree(InstallValues)
LEAVES = list(schema.leaves(InstallValues))


def merged(text: str) -> schema.Tree:
    return schema.merge(InstallValues, DEFAULTS, assignments.parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=c", {"a": {"b": "c"}}),
        ("a=1,b=true,c=null,d=", {"a": 1, "b": True, "c": None, "d": ""}),
        ("a=4567\\,4568", {"a": "4567,4568"}),
        ("nodeSelector.kubernetes\\.io/os=linux", {"nodeSelector": {"kubernetes.io/os": "linux"}}),
        ("a={x,y},b=01", {"a": ["x", "y"], "b": "01"}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_assignments_are_read_as_helm_reads_them(text: str, expected: schema.Tree) -> None:
    assert assignments.parse(text) == expected


def test_text_stays_text_after_set_string() -> None:
    assert assignments.parse("a=1,b=true", typed=False) == {"a": "1", "b": "true"}


@pytest.mark.parametrize("text", ["a", "=1", "a=1,,b=2", "a=1,a.b=2"])
def test_an_assignment_that_assigns_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValuesError):
        assignments.parse(text)


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_whatever_is_written_is_a_tree_or_refused_in_words(text: str) -> None:
    try:
        made = merged(text)
    except ValuesError:
        return
    assert made.keys() == DEFAULTS.keys()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("proxy.loglevel=info", 'There is no value "proxy.loglevel"; the nearest is "proxy.logLevel".'),
        ("tracing.collector=http://otel:4317", "it must be a host and the port where OTLP is spoken over gRPC"),
        ("tracing.collector=otel", "tracing.collector is 'otel': it must be a host and the port"),
        ("tracing.sampling=101", "tracing.sampling is '101': it must be a percentage"),
        ("tracing.colector=otel:4317", 'the nearest is "tracing.collector"'),
        ("controlerReplicas=3", 'the nearest is "controllerReplicas"'),
        ("controllerReplicas=many", "controllerReplicas must be a whole number, not 'many'"),
        ("controllerReplicas=0", "controllerReplicas is 0: it must be 1 or more"),
        ("enablePodAntiAffinity=yes", "enablePodAntiAffinity must be true or false"),
        ("proxy=info", "proxy is a group of values: set proxy.logLevel"),
        ("proxy.logLevel.level=info", "proxy.logLevel must be text"),
        ("imagePullPolicy=always", "it must be one of Always, IfNotPresent, Never"),
        ("clusterNetworks=10.0.0.0/33", "clusterNetworks"),
        ("proxyInit.ignoreInboundPorts=http", "neither a port nor a range"),
        ("proxy.resources.memory.limit=250 MB", "it must be a quantity such as 100m or 20Mi"),
        ("registry=x/", "it must be a registry and a path in it"),
        ("registry=x\ny", "it must be a registry"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(text: str, sentence: str) -> None:
    with pytest.raises(ValuesError) as refused:
        merged(text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("clusterName: 2026-01-01", "clusterName is the date 2026-01-01: put it in quotes."),
        ("clusterName: yes", "clusterName must be text, not true: put it in quotes, or use --set-string."),
        ("linkerdVersion: 1.10", "linkerdVersion must be text, not 1.1: put it in quotes, or use --set-string."),
        ("registry: !!binary aGk=", "registry is bytes: put it in quotes."),
        ("gateway: {loadBalancerIP: .nan}", "gateway.loadBalancerIP is nan, which is no number: put it in quotes."),
        ('gateway: {loadBalancerClass: "\\ud800"}', "gateway.loadBalancerClass is '\\ud800', which is no text."),
        ("gateway: {tolerations: [{seconds: 2026-01-01}]}", "gateway.tolerations[0].seconds is the date 2026-01-01"),
        ("gateway: {tolerations: &all [*all]}", "[0] is nested too deeply, or in itself."),
        ("gateway: {nodeSelector: {1: gpu}}", "gateway.nodeSelector has an entry named 1, which is not text"),
        ("gateway: {nodeSelector: {gpu: true}}", "gateway.nodeSelector.gpu must be text, not true: put it in quotes"),
    ],
)
def test_what_a_file_holds_beside_text_is_refused_by_name_with_what_to_do(text: str, sentence: str) -> None:
    kind = VizValues if text.startswith("clusterName") else MulticlusterValues
    with pytest.raises(ValuesError) as refused:
        schema.merge(kind, schema.tree(kind), yaml.safe_load(text))
    assert sentence in str(refused.value)


def test_numbers_of_labels_are_text_and_a_group_that_is_commented_out_changes_nothing() -> None:
    made = schema.merge(InstallValues, DEFAULTS, yaml.safe_load("{proxy: , podLabels: {team: 7, tier: }}"))
    assert made == DEFAULTS | {"podLabels": {"team": "7"}}


def test_a_value_of_the_control_plane_is_pointed_to_from_the_extensions() -> None:
    with pytest.raises(ValuesError, match="it belongs to the control plane: set it with `linkerd install`"):
        schema.merge(MulticlusterValues, schema.tree(MulticlusterValues), {"tracing": {"collector": "otel:4317"}})


def test_a_map_is_added_to_and_null_takes_an_entry_or_a_value_back() -> None:
    made = merged("nodeSelector.disk=fast,nodeSelector.kubernetes\\.io/os=null")
    assert made["nodeSelector"] == {"disk": "fast"}
    assert schema.merge(InstallValues, made, {"nodeSelector": None}) == DEFAULTS


def test_the_defaults_and_those_of_high_availability_are_values_that_may_be_set() -> None:
    assert schema.merge(InstallValues, DEFAULTS, DEFAULTS) == DEFAULTS
    made = schema.merge(InstallValues, DEFAULTS, values.HIGH_AVAILABILITY)
    assert made["controllerReplicas"] == 3
    assert made["proxy"]["resources"]["cpu"] == {"request": "100m", "limit": ""}


def test_no_merge_changes_what_it_was_given() -> None:
    before = schema.tree(InstallValues)
    merged("proxy.logLevel=debug,nodeSelector.a=b")
    assert before == DEFAULTS


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.name)
def test_every_value_reaches_the_installation_and_its_chart(leaf: schema.Leaf) -> None:
    other = {bool: True, int: 7, str: "changed", dict: {"a": "b"}, list: [{"a": "b"}]}[type(leaf.default)]
    tree = schema.tree(InstallValues)
    holder = tree
    for part in leaf.path[:-1]:
        holder = holder[part]
    holder[leaf.path[-1]] = other
    made = schema.from_tree(InstallValues, tree, certificates=None)
    assert schema.tree(made) == tree
    assert f"{{{{ .Values.{leaf.name} }}}}" in str(schema.tree(schema.lookups(InstallValues, certificates=None)))
