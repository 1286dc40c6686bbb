"""What a person sees who presses Tab."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from tests.lab_fixture import BIN
from tests.terminal import Terminal

from isthmus.cli.main import COMMANDS

READY = re.compile(r"READY> $")
DISCARD = "\x15"
"""Ctrl-U. Not Ctrl-C, which bash heeds only at the next key when it comes faster than a person types."""
QUIET = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
SET_UP = {
    "bash": "PS1='READY> '; source <(linkerd completion bash); source <(isthmus completion bash)\n",
    "zsh": "PS1='READY> '; autoload -U compinit; compinit -u -D; source <(linkerd completion zsh)\n",
}
ENVIRONMENT = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}


@pytest.fixture(scope="module", params=[*QUIET])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """An interactive shell that was told about `linkerd` as its help says."""
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param} here")
    terminal = Terminal.opened(QUIET[request.param], tmp_path_factory.mktemp("home"), ENVIRONMENT)
    terminal.type(SET_UP[request.param])
    terminal.read_until(READY)
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("linkerd mul", "linkerd multicluster "),
        ("linkerd multicluster gat", "linkerd multicluster gateways "),
        ("linkerd mc unin", "linkerd mc uninstall "),
        ("linkerd multicluster unlink --cluster-n", "linkerd multicluster unlink --cluster-name "),
        ("linkerd check -o sho", "linkerd check -o short "),
        ("linkerd --context west diag", "linkerd --context west diagnostics "),
    ],
)
def test_tab_completes_commands_flags_and_choices(shell: Terminal, typed: str, completed: str) -> None:
    shell.type(f"{typed}\t")
    shell.read_until(re.compile(re.escape(completed) + "$"))
    shell.type(f"{DISCARD}\n")
    shell.read_until(READY)


def test_tab_shows_every_command_without_loading_one() -> None:
    """A module that is slow, or broken, is not in the way."""
    asking = {"COMP_WORDS": "linkerd ", "COMP_CWORD": "1", "_LINKERD_COMPLETE": "bash_complete"}
    told = run("linkerd", **asking, PYTHONPROFILEIMPORTTIME="1")
    assert {line.rpartition(",")[2] for line in told.stdout.splitlines()} == COMMANDS.keys()
    assert "isthmus.cli.main" in told.stderr
    assert "isthmus.cli.version" not in told.stderr


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["linkerd", "isthmus"])
def test_the_printed_code_is_for_the_program_that_printed_it(program: str, name: str) -> None:
    assert f"_{program.upper()}_COMPLETE={name}_complete" in run(program, "completion", name).stdout


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=30, check=True)
