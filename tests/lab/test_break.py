"""What it means that something is broken, and what a person is told who says it wrongly."""

import os
import subprocess
from itertools import combinations

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.cli.lab import lab as command
from isthmus.lab import faults, orders
from isthmus.lab.config import LabDir, LabError, Record
from isthmus.lab.faults import Broken, Faults, How, Kind, hold, node_rules, pod_rules

RECORD = Record(clusters=["east", "my-node"], ports={})


def broken(kind, how, cluster="east"):
    return Broken(kind=kind, cluster=cluster, how=how)


@pytest.mark.parametrize(
    ("kind", "processes"),
    [(Kind.NODE, {"node"}), (Kind.API_SERVER, {"apiserver"}), (Kind.CLUSTER, {"node", "apiserver"}), (Kind.POD, set())],
)
def test_what_is_killed_takes_its_processes_and_no_others(kind, processes):
    now = Faults(broken=(broken(kind, How.KILL),))
    assert {name for name in ("node", "apiserver") if hold(now, "east", name)} == processes
    assert not hold(now, "west", "node")


def test_what_is_dead_does_not_hang():
    now = Faults(broken=(broken(Kind.CLUSTER, How.HANG), broken(Kind.NODE, How.KILL)))
    assert (hold(now, "east", "node"), hold(now, "east", "apiserver")) == (How.KILL, How.HANG)


def test_what_is_cut_off_runs():
    assert hold(Faults(broken=(broken(Kind.CLUSTER, How.BLACKHOLE),)), "east", "node") is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.builds(broken, st.sampled_from(Kind), st.sampled_from(How), st.sampled_from(["east", "west"]))))
def test_breaking_is_idempotent_and_healing_leaves_nothing(faulty):
    now = Faults()
    for one in faulty:
        now = now.with_broken(one)
        assert now.with_broken(one).broken == now.broken
        assert sum(other.target == one.target for other in now.broken) == 1
    assert now.without_broken(one.target for one in faulty) == Faults()


@pytest.mark.parametrize(
    "kinds", [kinds for size in (1, 2, 3) for kinds in combinations((Kind.API_SERVER, Kind.NODE, Kind.CLUSTER), size)]
)
def test_nodes_drop_only_while_they_are_told_to(kinds):
    rules = node_rules(Faults(broken=tuple(broken(kind, How.BLACKHOLE) for kind in kinds)), "east")
    assert rules.startswith(f"table inet {faults.TABLE}\ndelete table inet {faults.TABLE}\n")
    assert 'iifname "eth0" drop' in rules or kinds == (Kind.API_SERVER,)
    assert node_rules(Faults(), "east").count("\n") == 2


def test_the_kernel_understands_every_rule():
    every = tuple(broken(kind, How.BLACKHOLE) for kind in (Kind.API_SERVER, Kind.NODE, Kind.CLUSTER))
    text = node_rules(Faults(broken=every), "east") + pod_rules(cut=True) + pod_rules(cut=False)
    user = ("--user", "--map-root-user") if os.geteuid() else ()
    alone = ["unshare", *user, "--net", "nft", "-f", "-"]
    done = subprocess.run(alone, input=text, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("kind", "name", "cluster"),
    [(Kind.NODE, "east-node", "east"), (Kind.NODE, "my-node", "my-node"), (Kind.CLUSTER, "east", "east")],
)
def test_a_node_goes_by_its_own_name_or_its_clusters(tmp_path, kind, name, cluster):
    assert orders._target(LabDir(tmp_path), RECORD, kind, name, How.KILL).cluster == cluster


@pytest.mark.parametrize("name", ["web", "east/", "east/a/b/c", "/web"])
def test_a_pod_is_named_with_its_cluster(tmp_path, name):
    with pytest.raises(LabError, match="CLUSTER/NAMESPACE/POD"):
        orders.damage(LabDir(tmp_path), RECORD, Kind.POD, name, How.KILL)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["break", "pod", "east/web"], "--kill, --hang, --blackhole or --heal"),
        (["wan", "--between", "a,b"], "--delay, --jitter, --loss"),
        (["wan", "--delay", "1ms"], "--between"),
        (["wan", "--between", "a,b", "--heal", "--partition"], "--heal goes alone"),
        (["wan", "--between", "a,b", "--rate", "0mbit"], "--partition"),
        (["wan", "--between", "a,b", "--loss", "1"], "'1' is not a share"),
    ],
)
def test_a_command_that_is_not_complete_says_what_is_missing(tmp_path, words, said):
    done = CliRunner().invoke(command, [*words, "--dir", str(tmp_path)])
    assert done.exit_code == 2
    assert said in done.output
