"""What `kubectl logs` shows of a log file."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.node import logs
from isthmus.lab.node.logs import Options


async def shown(path: Path, **options: object) -> bytes:
    parsed = Options(**options)  # type: ignore[arg-type]
    return b"".join([piece async for piece in logs.read(path, parsed, running=lambda: False)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthree\n")
    return path


async def test_everything_by_default(log: Path) -> None:
    assert await shown(log) == b"one\ntwo\nthree\n"


async def test_the_last_lines_only(log: Path) -> None:
    assert await shown(log, tail_lines=2) == b"two\nthree\n"
    assert await shown(log, tail_lines=0) == b""


async def test_a_limit_cuts_in_the_middle_of_a_line(log: Path) -> None:
    assert await shown(log, limit_bytes=6) == b"one\ntw"


def test_a_program_that_did_not_finish_its_line(log: Path) -> None:
    log.write_bytes(b"one\ntwo")
    assert asyncio.run(shown(log, tail_lines=1)) == b"two"


async def test_no_file_yet_is_no_output(tmp_path: Path) -> None:
    assert await shown(tmp_path / "missing") == b""


async def test_times_are_kept_out_of_sight_until_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(logs.line("stdout", b"early\n", 1000.5) + logs.line("stderr", b"late\n", 2000))
    assert await shown(path) == b"early\nlate\n"
    late = b"1970-01-01T00:33:20.000000Z late\n"
    assert await shown(path, timestamps=True) == b"1970-01-01T00:16:40.500000Z early\n" + late
    assert await shown(path, since=logs.timestamp(1500)) == b"late\n"


async def test_following_ends_when_the_container_has_and_misses_nothing(log: Path) -> None:
    states = iter((True, True, True, False))
    seen: list[bytes] = []
    async with asyncio.timeout(5):
        async for piece in logs.read(log, Options(follow=True, tail_lines=1), running=lambda: next(states)):
            seen.append(piece)
            if len(seen) == 1:
                with log.open("ab") as file:
                    file.write(b"four\nfi")
            elif len(seen) == 2:
                with log.open("ab") as file:
                    file.write(b"ve\nlast")
    assert b"".join(seen) == b"three\nfour\nfive\nlast"


@given(st.lists(st.binary(max_size=5).map(lambda text: text.replace(b"\n", b"")), max_size=20), st.integers(0, 25))
def test_tails_agree_with_splitting_the_whole_file(lines: list[bytes], count: int) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        content = b"".join(text + b"\n" for text in lines)
        file.write(content)
        file.flush()
        expected = b"".join(text + b"\n" for text in lines[max(len(lines) - count, 0) :])
        assert asyncio.run(shown(Path(file.name), tail_lines=count)) == expected


async def test_a_long_file_is_read_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(50_000)))
    assert await shown(path, tail_lines=20_000) == b"".join(b"line %d\n" % number for number in range(30_000, 50_000))


def test_a_number_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="tailLines must be a number"):
        Options.parse({"tailLines": "-1"}, now=0)


def test_since_seconds_count_back_from_now() -> None:
    assert Options.parse({"sinceSeconds": "60"}, now=120).since == "1970-01-01T00:01:00.000000Z"
