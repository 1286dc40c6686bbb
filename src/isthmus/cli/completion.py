"""`linkerd completion`: what a shell needs to complete commands and flags."""

from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS: Final = ("bash", "zsh", "fish")
EPILOG: Final = """
\b
Examples:
  source <(linkerd completion bash)
  linkerd completion bash > ~/.local/share/bash-completion/completions/linkerd
  linkerd completion zsh > "${fpath[1]}/_linkerd"
  linkerd completion fish > ~/.config/fish/completions/linkerd.fish

\b
The first is for this shell only, the others last. Bash must be 4.4 or newer, and needs the package bash-completion
for the second; zsh needs `autoload -U compinit; compinit` in ~/.zshrc. For `isthmus`: `isthmus completion bash`.
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the code that makes a shell complete commands and flags when Tab is pressed."""
    root = context.find_root()
    program = root.info_name or "linkerd"
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(root.command, {}, program, variable(program)).source_template
    click.echo(
        script
        % {
            "complete_func": f"_{program}_completion".replace("-", "_"),
            "complete_var": variable(program),
            "prog_name": program,
        }
    )


def variable(program: str) -> str:
    """The environment variable by which a shell asks the program; click's own rule."""
    return f"_{program}_COMPLETE".replace("-", "_").upper()
