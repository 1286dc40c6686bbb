"""What an image's name stands for in the lab."""

from pathlib import Path

import pytest

from isthmus.lab.images import Images, UnknownImageError


def test_prometheus_is_the_program_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Images().find("docker.io/prom/prometheus:v2.55.1").entrypoint == (str(program),)


def test_without_the_program_the_event_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UnknownImageError, match=r"program prometheus, which is not on PATH: .*apt-get install prometheus"
    ):
        Images().find("prom/prometheus")
