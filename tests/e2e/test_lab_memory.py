"""A cluster without workloads is small, and stays so when one of its servers has died."""

import json
import os
import signal
from pathlib import Path

import pytest
from bench.lab import memory
from tests.lab_fixture import start

pytestmark = pytest.mark.lab

CLUSTERS = ("cluster-east", "cluster-west")
MEGABYTES = 60.0


def pids(lab):
    """The daemon's, and by cluster those of its servers."""
    status = json.loads(lab.isthmus("lab", "status", "-o", "json"))
    return status["pid"], {
        cluster["name"]: {name: process["pid"] for name, process in cluster["processes"].items()}
        for cluster in status["clusters"]
    }


def test_a_cluster_takes_60_megabytes_with_its_part_of_what_all_share(tmp_path: Path) -> None:
    lab = start(tmp_path / "lab", clusters=",".join(CLUSTERS))
    try:
        daemon, servers = pids(lab)
        before = servers["cluster-east"]
        os.kill(before["apiserver"], signal.SIGKILL)
        assert lab.get("cluster-east", "namespace", "default")
        _, servers = pids(lab)
        assert servers["cluster-east"]["apiserver"] != before["apiserver"]
        assert servers["cluster-east"]["node"] == before["node"]
        for name in CLUSTERS:
            assert memory([*servers[name].values()]) + memory([daemon]) / len(CLUSTERS) <= MEGABYTES, name
    finally:
        lab.isthmus("lab", "down")
