"""Single requests, live, across clusters, for those who may look into the pods; they need no extension."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from tests.lab_fixture import WEST, Lab

pytestmark = pytest.mark.lab
URL = "http://backend-cluster-east:8080"
ACCOUNT = "onlooker"


@contextmanager
def tapping(mesh: Lab, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A command that runs, once it listens."""
    process = subprocess.Popen(
        ("linkerd", "viz", *words, "--context", WEST),
        env=mesh.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "Listening to 2 pods.\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def send(mesh: Lab, *paths: str) -> None:
    urls = [word for path in paths for word in ("-o", "/dev/null", f"{URL}{path}")]
    mesh.exec(WEST, "deploy/frontend", "curl", "-sS", "-H", "authorization: secret", *urls, container="frontend")


def test_a_tap_shows_the_requests_that_were_wished_for_and_ends(mesh: Lab) -> None:
    words = ("deploy/frontend", "--to", "svc/backend-cluster-east", "--path", "/status", "--limit", "2", "-o", "json")
    with tapping(mesh, "tap", *words) as tap:
        send(mesh, "/health", "/status/503", "/slow?ms=1", "/status/200?last")
        printed, _ = tap.communicate(timeout=60)
    first, last = (json.loads(line) for line in printed.splitlines())
    assert (first["path"], first["status"], first["failed"]) == ("/status/503", "503", True)
    assert (last["path"], last["status"], last["failed"]) == ("/status/200?last", "200", False)
    for each in (first, last):
        assert (each["tls"], each["direction"], each["method"]) == ("true", "outbound", "GET")
        assert each["src_resource"] == "deployment/frontend"
        assert each["dst_resource"] == "service/backend-cluster-east (cluster-east)"
        assert each["peer"].endswith("/ns/default/sa/default")
    assert "secret" not in printed


def test_top_says_how_many_there_were_of_each(mesh: Lab) -> None:
    with tapping(mesh, "top", "deploy/frontend", "--path", "/status", "--for", "4s") as top:
        send(mesh, *["/status/200?a", "/status/200?b", "/status/500"])
        printed, _ = top.communicate(timeout=60)
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert [row[4:6] + row[-1:] for row in rows] == [["/status/200", "2", "100.00%"], ["/status/500", "1", "0.00%"]]


def test_whoever_may_not_run_programs_in_the_pods_sees_nothing(mesh: Lab, tmp_path: Path) -> None:
    role, binding = ("clusterrole", ACCOUNT), ("clusterrolebinding", ACCOUNT)
    mesh.kubectl(WEST, "create", "serviceaccount", ACCOUNT)
    mesh.kubectl(WEST, "create", *role, "--verb=get,list", "--resource=pods,services")
    mesh.kubectl(WEST, "create", *binding, f"--clusterrole={ACCOUNT}", f"--serviceaccount=default:{ACCOUNT}")
    try:
        config = yaml.safe_load(mesh.kubectl(WEST, "config", "view", "--flatten", "--minify"))
        config["users"][0]["user"] = {"token": mesh.kubectl(WEST, "create", "token", ACCOUNT).strip()}
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        told = mesh.linkerd(WEST, "viz", "tap", "deploy/frontend", "--kubeconfig", str(path), check=False)
    finally:
        mesh.kubectl(WEST, "delete", "serviceaccount", ACCOUNT)
        for each in (role, binding):
            mesh.kubectl(WEST, "delete", *each)
    assert "cannot create resource" in told
    assert "pods/exec" in told
    assert "No pod could be tapped." in told
    assert "Traceback" not in told


def test_what_cannot_be_tapped_is_said_in_one_line(mesh: Lab) -> None:
    for words, sentence in (
        (("tap", "svc/backend"), "svc/backend has no proxy of its own: tap a workload"),
        (("tap", "deploy/frontend", "--to", "svc/nothing"), "There is no service nothing in namespace default."),
    ):
        told = mesh.linkerd(WEST, "viz", *words, check=False)
        assert sentence in told, words
        assert "Traceback" not in told
