"""`python -m bench`: the demo, loaded on four paths; a table and a JSON file. A benchmark, not a test: it exits 0."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import cluster, load, report, server
from bench.idle import Idle, Watched, cpu_shares, watched
from bench.paths import Path as Way
from bench.paths import opened
from bench.results import CELLS, Cell, Runs
from isthmus.lab.images import find_envoy

OUTPUT: Final = Path("build/bench.json")
_WARM_UP_SECONDS: Final = 1
_IDLE_SECONDS: Final = 10.0


def main(arguments: Sequence[str]) -> int:
    flags = _parser().parse_args(arguments)
    try:
        _bench(flags)
    except cluster.BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def _bench(flags: argparse.Namespace) -> None:
    envoy = find_envoy()
    if envoy is None:
        raise cluster.BenchError("there is no Envoy: run `make setup`, or set ISTHMUS_ENVOY")
    facts = report.environment(envoy)
    with _demo(flags.use) as directory:
        cluster.add_images(directory, server.image(directory, envoy))
        east, west = cluster.clusters(directory)
        _tell("deploying the application and the baseline")
        cluster.deploy(east, west)
        runs: Runs = {}
        idle: list[Idle] = []
        ways: list[str] = []
        for servers in sorted({cell.servers for cell in CELLS}):
            cluster.scale(east, servers)
            with opened(east, west) as paths:
                kinds = watched(east, west)
                before = idle or _at_rest(kinds)
                for cell in (each for each in CELLS if each.servers == servers):
                    _measure(cell, paths, runs, seconds=flags.seconds, rounds=flags.rounds)
                idle = [
                    replace(each, memory_after_load=kind.memory()) for each, kind in zip(before, kinds, strict=True)
                ]
                ways = [path.name for path in paths]
    report.show(runs, idle, facts, ways)
    report.write(flags.output, runs, idle, facts, ways)
    print(f"\nEverything in {flags.output}")


def _at_rest(kinds: Sequence[Watched]) -> list[Idle]:
    _tell("idle")
    shares = cpu_shares(kinds, _IDLE_SECONDS)
    return [Idle(kind.name, kind.memory(), 0.0, share) for kind, share in zip(kinds, shares, strict=True)]


def _measure(cell: Cell, paths: Sequence[Way], runs: Runs, *, seconds: int, rounds: int) -> None:
    """Rounds over all paths, after one to warm up: what disturbs the machine disturbs all paths alike."""
    _tell(cell.name)
    for number in range(rounds + 1):
        for path in paths:
            run = load.run(
                path.url + cell.path,
                within=path.within,
                connections=cell.connections,
                seconds=seconds if number else _WARM_UP_SECONDS,
                roles=path.roles,
            )
            if number:
                runs.setdefault((cell.name, path.name), []).append(run)


@contextmanager
def _demo(running: Path | None) -> Iterator[Path]:
    """The folder of a lab with the demo in it: a new one for the time of the benchmark, or the given one."""
    if running:
        yield running.absolute()
        return
    directory = Path(tempfile.mkdtemp(prefix="isthmus-bench-"))
    lab = directory / "lab"
    try:
        _tell("isthmus demo")
        cluster.demo(lab)
        yield lab
    finally:
        cluster.down(lab)
        shutil.rmtree(directory, ignore_errors=True)


def _tell(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--seconds", type=int, default=2, help="length of one run (default: %(default)s)")
    made.add_argument("--rounds", type=int, default=5, help="runs per path and load (default: %(default)s)")
    made.add_argument("--use", type=Path, metavar="DIR", help="use the demo that runs in this lab folder, and leave it")
    made.add_argument("--output", type=Path, default=OUTPUT, help="JSON file (default: %(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
