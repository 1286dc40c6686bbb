"""What an image's name stands for in the lab."""

from pathlib import Path

import pytest

from isthmus.lab import images, user_images
from isthmus.lab.images import Images, UnknownImageError


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout; nothing is on PATH."""
    monkeypatch.setattr(images, "_checkout", lambda: tmp_path / "checkout")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "checkout"


def program(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "prometheus"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


def test_prometheus_is_the_program_of_this_machine(tmp_path: Path) -> None:
    on_path = program(tmp_path)
    spec = Images().find("docker.io/prom/prometheus:v2.55.1")
    assert [spec.files[path] for path in spec.entrypoint] == [on_path]


def test_what_setup_fetched_comes_before_the_program_of_this_machine(tmp_path: Path, checkout: Path) -> None:
    program(tmp_path)
    fetched = program(checkout / ".prometheus")
    spec = Images().find("docker.io/prom/prometheus:v2.55.1")
    assert [spec.files[path] for path in spec.entrypoint] == [fetched]


def test_without_the_program_the_event_says_how_to_get_it() -> None:
    with pytest.raises(
        UnknownImageError, match=r"program prometheus, which is not on PATH: .*apt-get install prometheus"
    ):
        Images().find("prom/prometheus")


def test_a_program_that_is_added_finds_the_files_that_its_command_line_names(tmp_path: Path) -> None:
    script = tmp_path / "cart.py"
    script.write_text("")
    user_images.add(tmp_path, "shop/cart", ["/usr/bin/env", "python3", str(script), "--port", "1"])
    spec = Images(tmp_path).find("shop/cart:v2")
    assert spec.entrypoint == ("/usr/bin/env", "python3", str(script), "--port", "1")
    assert spec.files == {str(script): script}
