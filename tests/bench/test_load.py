"""A run's numbers come from what h2load and the kernel wrote down."""

import os
from pathlib import Path

from bench.load import answers
from bench.processes import Process


def test_every_answer_counts_and_those_that_are_not_200_are_failures(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1795406000000000\t200\t510\n1795406000000600\t503\t90\n1795406000000700\t-1\t7\n")
    assert answers(str(log)) == ([510, 90, 7], 2)


def test_cpu_time_is_what_the_kernel_charged_the_process() -> None:
    own = Process(os.getpid(), os.getuid(), "")
    charged = os.times().user + os.times().system
    before = own.cpu()
    while os.times().user + os.times().system < charged + 0.05:
        sum(range(1000))
    assert 0.03 < own.cpu() - before < 0.5


def test_private_memory_follows_what_is_allocated() -> None:
    own = Process(os.getpid(), os.getuid(), "")
    before = own.private_memory()
    ballast = bytearray(b"x" * (32 << 20))
    assert 25 < own.private_memory() - before < 45
    del ballast
