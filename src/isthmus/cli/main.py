"""The root command. Loads one module per command group, only when it is called, so that `--help` is quick."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from isthmus import names
from isthmus.cli.options import shared_flags
from isthmus.cli.unserved import refused

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "check": ("isthmus.cli.check:check", "Check an installation for problems"),
    "completion": ("isthmus.cli.completion:completion", "Print the code that makes a shell complete commands"),
    "demo": ("isthmus.cli.demo:demo", "Two linked clusters on this machine, and a request between them"),
    "diagnostics": ("isthmus.cli.diagnostics:diagnostics", "Look at what the control plane sees"),
    "identity": ("isthmus.cli.identity:identity", "Show the certificates of meshed pods"),
    "inject": ("isthmus.cli.inject:inject", "Add the proxy annotation to Kubernetes manifests"),
    "install": ("isthmus.cli.install:install", "Print the manifests of the control plane"),
    "lab": ("isthmus.cli.lab:lab", "Kubernetes-shaped clusters on this machine"),
    "multicluster": ("isthmus.cli.multicluster:multicluster", "Link clusters to each other"),
    "rotate": ("isthmus.cli.rotate:rotate", "Replace root, issuer or webhook certificate while everything runs"),
    "uninstall": ("isthmus.cli.uninstall:uninstall", "Print the control plane's objects for kubectl delete"),
    "viz": ("isthmus.cli.viz:viz", "See what workloads say to each other"),
    "version": ("isthmus.cli.version:version", "Print the versions of the CLI and the control plane"),
}
"""Command -> where it lives, and its one-line help (told here so that listing loads nothing)."""
ALIASES: Final = {"mc": "multicluster", "dg": "diagnostics"}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return refused(cmd_name)
        module, _, attribute = entry[0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            _, command, rest = super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None
        return command.name if command else None, command, rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Told from the table, so that Tab loads nothing."""
        commands = [
            CompletionItem(name, help=COMMANDS[name][1])
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


EXAMPLES: Final = """
\b
Examples:
  linkerd install | kubectl apply -f -
  linkerd check
  linkerd multicluster link --cluster-name east | kubectl --context west apply -f -
"""


@click.group(
    cls=LazyGroup, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(names.VERSION, message="%(version)s")
@shared_flags
def cli(**_: str | None) -> None:
    """Isthmus: a multi-cluster service mesh that speaks Linkerd's API."""


def main(argv: Sequence[str] | None = None) -> Any:
    """Runs the CLI. Every foreseeable failure is one sentence on stderr and a non-zero exit code."""
    program = os.path.basename(sys.argv[0]) if argv is None else "linkerd"
    try:
        return cli.main(args=None if argv is None else list(argv), prog_name=program)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
