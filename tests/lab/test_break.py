"""What it means that something is broken, and what a person is told who says it wrongly."""

import os
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.cli.lab import lab as command
from isthmus.lab import faults, orders
from isthmus.lab.config import LabDir, LabError, Record
from isthmus.lab.faults import Broken, Faults, How, Kind, hold, pod_rules, rules, unplugged
from isthmus.lab.topology import clusters

RECORD = Record(clusters=["east", "my-node"], ports={}, nodes=2)
ONE = clusters(("east",), Path("/lab"))[0]
TWO = clusters(("east",), Path("/lab"), nodes=2)[0]


def broken(kind, how, cluster="east", name=None):
    own = "east-1" if kind is Kind.NODE else ""
    return Broken(kind=kind, cluster=cluster, how=how, name=own if name is None else name)


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
    text = rules(Faults(broken=tuple(broken(kind, How.BLACKHOLE) for kind in kinds)), ONE.control)
    assert text.startswith(f"table inet {faults.TABLE}\ndelete table inet {faults.TABLE}\n")
    assert 'iifname "eth0" drop' in text or kinds == (Kind.API_SERVER,)
    assert rules(Faults(), ONE.control).count("\n") == 4


@pytest.mark.parametrize("how", How)
def test_of_several_nodes_only_the_broken_one_is_off_the_network_unless_it_hangs(how):
    now = Faults(broken=(broken(Kind.NODE, how),))
    assert [unplugged(now, machine) for machine in TWO.machines] == [False, how is not How.HANG, False]
    assert ["arp daddr" in rules(now, machine) for machine in TWO.machines] == [False, how is How.HANG, False]
    assert not unplugged(now, ONE.control)


def test_of_several_nodes_only_the_process_of_the_broken_one_is_dead():
    now = Faults(broken=(broken(Kind.NODE, How.KILL),))
    processes = ("apiserver", "controllers", *(node.process for node in TWO.nodes))
    assert [hold(now, "east", process) for process in processes] == [None, None, How.KILL, None]


def test_machines_of_a_cluster_that_is_cut_off_still_reach_each_other():
    text = rules(Faults(broken=(broken(Kind.CLUSTER, How.BLACKHOLE),)), TWO.nodes[0])
    assert 'iifname "eth0" ip saddr != { 172.30.0.11/32, 172.30.10.0/24, 172.30.100.0/24, 10.244.0.0/16 } drop' in text


def test_the_kernel_understands_every_rule():
    every = tuple(broken(kind, How.BLACKHOLE) for kind in (Kind.API_SERVER, Kind.NODE, Kind.CLUSTER))
    stuck = Faults(broken=(*every[::2], broken(Kind.NODE, How.HANG)))
    text = rules(Faults(broken=every), ONE.control) + rules(stuck, TWO.nodes[0])
    text += pod_rules(cut=True) + pod_rules(cut=False)
    user = ("--user", "--map-root-user") if os.geteuid() else ()
    alone = ["unshare", *user, "--net", "nft", "-f", "-"]
    done = subprocess.run(alone, input=text, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("kind", "name", "parts"),
    [
        (Kind.NODE, "east-2", [("east", "east-2")]),
        (Kind.NODE, "my-node", [("my-node", "my-node-1"), ("my-node", "my-node-2")]),
        (Kind.CLUSTER, "east", [("east", "")]),
    ],
)
def test_a_node_goes_by_its_own_name_and_all_go_by_their_clusters(tmp_path, kind, name, parts):
    found = orders._targets(LabDir(tmp_path), RECORD, kind, name, How.KILL)
    assert [(one.cluster, one.name) for one in found] == parts


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
