"""A reader with a shell: writes the tutorial's files, types its commands, remembers what was printed."""

import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.lab_fixture import Lab
from tests.terminal import PROMPT, Terminal
from tests.tutorial import substitutions
from tests.tutorial.reading import Block, Command, blocks, commands, file_name, queries

COMMAND_TIMEOUT = 100.0
CONTROL_C = "\x03"


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that was typed, and what it printed."""

    block: Block
    command: str
    printed: str


@dataclass
class Reader:
    """Follows the tutorial section by section, in its order, in one folder and with one kubeconfig."""

    text: str = field(repr=False)
    folder: Path
    lab: Lab = field(repr=False)
    history: list[Typed] = field(default_factory=list, repr=False)
    used: list[Block] = field(default_factory=list, repr=False)
    finished: list[str] = field(default_factory=list)

    def sections(self) -> list[str]:
        """Those that have something to be done in them."""
        return list(dict.fromkeys(block.section for block in blocks(self.text)))

    def follow(self, section: str) -> None:
        """Do what a section says. The ones before it must have been done."""
        before = self.sections()[: self.sections().index(section)]
        if missing := [name for name in before if name not in self.finished]:
            pytest.fail(f'"{missing[0]}" comes before "{section}" and was not finished')
        for command in substitutions.PREPARED.get(section, ()):
            self.shell(command)
        for block in blocks(self.text):
            if block.section == section:
                self._use(block)
                self.used.append(block)
        self.finished.append(section)

    def done(self, *sections: str) -> None:
        """What is asked only makes sense after these sections."""
        if missing := [name for name in sections if name not in self.finished]:
            pytest.fail(f'"{missing[0]}" was not finished')

    def printed(self, section: str, beginning: str) -> list[str]:
        """What each command of a section that begins so printed."""
        self.done(section)
        found = [it.printed for it in self.history if it.block.section == section and it.command.startswith(beginning)]
        assert found, f'no command of "{section}" begins with {beginning!r}'
        return found

    def ask_prometheus(self, query: str) -> str:
        """The answer, as JSON."""
        return self.shell(substitutions.QUERY.replace("{query}", shlex.quote(f"query={query}")))

    def go_to(self, cluster: str) -> None:
        self.shell(f"kubectl config use-context {cluster}")

    def _use(self, block: Block) -> None:
        if block.language == "yaml":
            (self.folder / file_name(block)).write_text(block.text)
        elif block.language == "promql":
            self.history += [Typed(block, query, self.ask_prometheus(query)) for query in queries(block)]
        elif block.language == "bash":
            self._type(block, commands(block))
        else:
            pytest.fail(f"a block of {block.language!r}: nobody says what to do with it ({block})")

    def _type(self, block: Block, lines: list[Command]) -> None:
        for number, line in enumerate(lines):
            if cluster := substitutions.context(line.text):
                self.go_to(cluster)
            if line.is_comment:
                continue
            if wait := substitutions.WAITS.get(line.text, ""):
                self._wait(line.text, wait)
            if substitutions.INTERACTIVE.search(line.text):
                typed = [self._filled_in(it.text) for it in lines[number + 1 :] if not it.is_comment]
                self.history += [Typed(block, *pair) for pair in self._session(line.text, typed)]
                return
            self.history.append(Typed(block, line.text, self.shell(self._filled_in(line.text))))

    def _filled_in(self, command: str) -> str:
        for word in substitutions.placeholders(command):
            command = command.replace(f"<{word}>", self.shell(substitutions.PLACEHOLDERS[word]).strip())
        return command

    def _wait(self, command: str, wait: str) -> None:
        if wait == substitutions.AGAIN:
            self.lab.wait(lambda: self._succeeds(command), what=f"`{command}` finds something")
        else:
            self.shell(wait)

    def _succeeds(self, command: str) -> bool:
        return self._run(command).returncode == 0

    def shell(self, command: str) -> str:
        """What a command that must succeed prints."""
        done = self._run(command)
        if done.returncode:
            pytest.fail(f"`{command}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _run(self, command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.lab.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )

    def _session(self, command: str, lines: list[str]) -> list[tuple[str, str]]:
        """Open a shell on a terminal, type the lines, and leave."""
        terminal = Terminal.opened(["/bin/bash", "-c", command], self.folder, self.lab.environment)
        try:
            opened = [(command, terminal.read_until(PROMPT))]
            typed = [(line, self._answer(terminal, line)) for line in lines]
            terminal.type("exit\n")
            terminal.ended()
        finally:
            terminal.close()
        return opened + typed

    @staticmethod
    def _answer(terminal: Terminal, line: str) -> str:
        terminal.type(f"{line}\n")
        printed = ""
        if substitutions.LEFT_WITH_CONTROL_C.match(line):
            printed = terminal.read_until(re.compile(re.escape(substitutions.SEEN_BEFORE_CONTROL_C)))
            terminal.type(CONTROL_C)
        return printed + terminal.read_until(PROMPT)
