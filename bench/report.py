"""The results for people (tables) and for programs (JSON)."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.cluster import run
from bench.idle import Idle
from bench.results import CELLS, Runs, Summary, Target, share_of_l7, summary, targets
from isthmus import names

_WIDTH = 118


def show(runs: Runs, idle: Sequence[Idle], facts: Mapping[str, Any], paths: Sequence[str]) -> None:
    """Tables on standard output: coloured on a terminal, plain text otherwise."""
    console = Console(width=None if os.isatty(1) else _WIDTH, highlight=False)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), soft_wrap=True)
    for cell in CELLS:
        rows = [summary(path, runs[cell.name, path]) for path in paths]
        console.print(_cell_table(cell.name, rows))
        console.print(f"  gateway CPU per request, tunnel / L7 gateway: {share_of_l7(runs, cell):.2f}\n")
    console.print(_idle_table(idle))
    for target in targets(runs, idle):
        style = "green" if target.met else "red"
        console.print(f"[bold {style}]{'PASS' if target.met else 'FAIL'}[/]  {_words(target)}")


def write(file: Path, runs: Runs, idle: Sequence[Idle], facts: Mapping[str, Any], paths: Sequence[str]) -> None:
    content = {
        "environment": facts,
        "cells": [
            {
                **asdict(cell),
                "paths": {
                    path: {
                        "median": _numbers(summary(path, runs[cell.name, path])),
                        "runs": [asdict(each) for each in runs[cell.name, path]],
                    }
                    for path in paths
                },
                "tunnel_share_of_l7_gateway": share_of_l7(runs, cell),
            }
            for cell in CELLS
        ],
        "idle": [asdict(each) for each in idle],
        "targets": [{**asdict(target), "met": target.met} for target in targets(runs, idle)],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n")


def environment(envoy: Path) -> dict[str, Any]:
    """What the numbers depend on. Load before the start is other people's: on a busy machine nothing is exact."""
    return {
        "isthmus": names.VERSION,
        "envoy": _version([str(envoy), "--version"], word=2).split("/")[1],
        "h2load": _version(["h2load", "--version"], word=1).split("/")[1],
        "kernel": platform.release(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load average at start": round(os.getloadavg()[0], 1),
    }


def _version(command: list[str], *, word: int) -> str:
    return run(command, os.environ).split()[word]


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _cell_table(title: str, rows: Sequence[Summary]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("path", no_wrap=True, min_width=18)
    for heading in ("requests/s", "p50 ms", "p99 ms", "client µs", "gateway µs", "server µs", "proxies µs", "app µs"):
        table.add_column(heading, justify="right", no_wrap=True)
    if any(row.failed for row in rows):
        table.add_column("failed", justify="right")
    for row in rows:
        failed = [f"{row.failed}"] if any(each.failed for each in rows) else []
        table.add_row(
            row.path,
            f"{row.rps:,.0f}",
            f"{row.p50:.2f}",
            f"{row.p99:.2f}",
            *(_cost(row.cpu, role) for role in ("client", "gateway", "server")),
            f"{row.proxies:,.1f}" if row.proxies else "-",
            _cost(row.cpu, "application"),
            *failed,
        )
    return table


def _cost(cpu: Mapping[str, float], role: str) -> str:
    return f"{cpu[role]:,.1f}" if role in cpu else "-"


def _idle_table(idle: Sequence[Idle]) -> Table:
    table = Table(title="Idle", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("process", no_wrap=True, min_width=34)
    for heading in ("private MB", "after load", "CPU %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in idle:
        table.add_row(each.name, f"{each.memory:.1f}", f"{each.memory_after_load:.1f}", f"{each.cpu:.2f}")
    return table


def _words(target: Target) -> str:
    return f"{target.name}: {target.measured:.3g}{target.unit} (wanted: at most {target.wanted:g}{target.unit})"


def _numbers(row: Summary) -> dict[str, Any]:
    return {**asdict(row), "proxies": row.proxies}
