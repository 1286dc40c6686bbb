"""What the table and the JSON file say is what was measured."""

import json
from pathlib import Path

import pytest
from bench.idle import PROXY, Idle
from bench.load import Run
from bench.paths import DIRECT, PLAIN, TERMINATING, TUNNEL
from bench.results import CELLS, ONE, THIRTY_TWO, Runs, added_latency, share_of_l7, summary, targets

from bench import report

PATHS = (PLAIN, DIRECT, TUNNEL, TERMINATING)
IDLE = [Idle(PROXY, 20.0, 33.0, 0.2)]


def a_run(*, gateway: float = 10.0, p50: float = 1.0, failed: int = 0) -> Run:
    cpu = {"client": 40.0, "gateway": gateway, "server": 30.0, "application": 20.0, "load": 5.0}
    return Run(requests=1000, failed=failed, rps=500.0, p50=p50, p99=9.0, cpu=cpu)


def all_runs() -> Runs:
    runs: Runs = {(cell.name, path): [a_run()] for cell in CELLS for path in PATHS}
    for cell in CELLS:
        runs[cell.name, TERMINATING] = [a_run(gateway=50.0)]
    return runs


def test_the_median_of_the_rounds_counts_and_every_failure() -> None:
    row = summary(TUNNEL, [a_run(gateway=8), a_run(gateway=90, failed=2), a_run(gateway=9, failed=1)])
    assert row.cpu["gateway"] == 9
    assert row.proxies == pytest.approx(40 + 9 + 30)
    assert row.failed == 3


def test_the_share_is_taken_between_runs_of_the_same_round() -> None:
    """A machine that is twice as slow in one round is twice as slow for both."""
    runs = all_runs()
    runs[THIRTY_TWO.name, TUNNEL] = [a_run(gateway=10), a_run(gateway=20), a_run(gateway=10)]
    runs[THIRTY_TWO.name, TERMINATING] = [a_run(gateway=50), a_run(gateway=100), a_run(gateway=40)]
    assert share_of_l7(runs, THIRTY_TWO) == pytest.approx(0.2)


def test_added_latency_is_the_tunnel_over_two_sidecars() -> None:
    runs = all_runs()
    runs[ONE.name, TUNNEL] = [a_run(p50=0.56)]
    runs[ONE.name, DIRECT] = [a_run(p50=0.43)]
    assert added_latency(runs) == pytest.approx(0.13)


def test_a_target_is_met_or_missed_by_its_number() -> None:
    runs = all_runs()
    runs[THIRTY_TWO.name, TUNNEL] = [a_run(gateway=13)]
    met = {target.name: target.met for target in targets(runs, IDLE)}
    assert list(met.values()) == [False, True, True, True]


def test_a_path_without_proxies_shows_no_cost_and_columns_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    runs = all_runs()
    plain = Run(requests=10, failed=0, rps=22000.0, p50=0.03, p99=0.2, cpu={"application": 20.0, "load": 5.0})
    runs[ONE.name, PLAIN] = [plain]
    report.show(runs, IDLE, {"kernel": "6"}, PATHS)
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.strip().startswith(PATHS)]
    assert len(rows) == len(CELLS) * len(PATHS)
    assert len({len(row) for row in rows}) == 1
    assert rows[0].split()[-5:] == ["-", "-", "-", "-", "20.0"]
    assert [line.split()[0] for line in lines[-4:]] == ["PASS"] * 4


def test_the_file_holds_every_run(tmp_path: Path) -> None:
    file = tmp_path / "build" / "bench.json"
    report.write(file, all_runs(), IDLE, {"kernel": "6"}, PATHS)
    content = json.loads(file.read_text())
    assert [cell["name"] for cell in content["cells"]] == [cell.name for cell in CELLS]
    assert content["cells"][0]["paths"][TUNNEL]["runs"][0]["cpu"]["gateway"] == 10.0
    assert all(target["met"] for target in content["targets"])
