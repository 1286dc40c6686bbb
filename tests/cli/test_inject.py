"""What `linkerd inject` does to a manifest, and what it says."""

import pytest
import yaml
from click.testing import CliRunner

from isthmus.cli.inject import annotate, inject

ANNOTATED = {"linkerd.io/inject": "enabled"}


def workload(kind="Deployment", **template):
    return {"kind": kind, "metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": []}, **template}}}


def test_the_pod_template_is_annotated_and_nothing_else_changes():
    before = workload(metadata={"labels": {"app": "web"}, "annotations": {"a": "b"}})
    outcome, after = annotate(before)
    assert outcome == "injected"
    assert after["spec"]["template"]["metadata"] == {"labels": {"app": "web"}, "annotations": {"a": "b", **ANNOTATED}}
    after["spec"]["template"]["metadata"] = before["spec"]["template"]["metadata"]
    assert after == before


def test_a_cron_job_is_annotated_at_its_pods():
    job = {"kind": "CronJob", "metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": {"template": {}}}}}
    _, after = annotate(job)
    assert after["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["annotations"] == ANNOTATED


def test_host_network_disabled_and_injected_pods_are_skipped_with_the_reason():
    assert "host's network" in annotate(workload(spec={"hostNetwork": True}))[0]
    assert "disabled" in annotate(workload(metadata={"annotations": {"linkerd.io/inject": "disabled"}}))[0]
    assert "proxy already" in annotate(workload(spec={"initContainers": [{"name": "linkerd-proxy"}]}))[0]


def test_services_pass_through_and_each_object_is_told_on_stderr():
    text = yaml.safe_dump_all([workload(), {"kind": "Service", "metadata": {"name": "web"}}])
    result = CliRunner().invoke(inject, ["-"], input=text)
    assert result.stderr.splitlines()[:2] == ['deployment "web" injected', 'service "web" skipped']
    documents = list(yaml.safe_load_all(result.stdout))
    assert [document["kind"] for document in documents] == ["Deployment", "Service"]


def test_broken_yaml_is_one_sentence_with_the_line():
    result = CliRunner().invoke(inject, ["-"], input="kind: Pod\n  bad: [\n")
    assert result.exit_code == 1
    assert "standard input is not YAML at line" in result.stderr
    assert "Traceback" not in result.stderr


def test_flags_become_annotations_of_the_pods():
    flags = ["--skip-outbound-ports", "3306,5432", "--opaque-ports=9000-9010", "--proxy-cpu-limit", "1"]
    result = CliRunner().invoke(inject, [*flags, "-"], input=yaml.safe_dump(workload()))
    (document,) = yaml.safe_load_all(result.stdout)
    assert document["spec"]["template"]["metadata"]["annotations"] == ANNOTATED | {
        "config.linkerd.io/skip-outbound-ports": "3306,5432",
        "config.linkerd.io/opaque-ports": "9000-9010",
        "config.linkerd.io/proxy-cpu-limit": "1",
    }


def test_a_value_that_the_injector_would_refuse_is_refused_at_once():
    result = CliRunner().invoke(inject, ["--skip-inbound-ports", "http", "-"], input=yaml.safe_dump(workload()))
    assert result.exit_code == 1
    assert "--skip-inbound-ports 'http' cannot be used: 'http' is neither a port" in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("flag", ["--ingress", "--enable-debug-sidecar", "--close-wait-timeout=30s"])
def test_linkerds_flags_that_change_nothing_say_so(flag: str):
    result = CliRunner().invoke(inject, [flag, "-"], input=yaml.safe_dump(workload()))
    assert result.exit_code == 0
    assert f"note: {flag.partition('=')[0]}: " in result.stderr
    (document,) = yaml.safe_load_all(result.stdout)
    wanted = "ingress" if flag == "--ingress" else "enabled"
    assert document["spec"]["template"]["metadata"]["annotations"] == {"linkerd.io/inject": wanted}
