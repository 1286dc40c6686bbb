"""`isthmus lab`: Kubernetes-shaped clusters on this machine, without containers."""

import os
import shlex
import time
from pathlib import Path
from typing import Final

import click

from isthmus.cli import lab_faults
from isthmus.cli.lab_options import dir_option, fail, lab_at
from isthmus.cli.options import program as installed

LAB_EPILOG: Final = """
\b
Examples:
  isthmus lab up
  eval "$(isthmus lab env)"
  kubectl --context cluster-east get nodes
  isthmus lab down
"""


@click.group(epilog=LAB_EPILOG)
def lab() -> None:
    """Run Kubernetes-shaped clusters on this machine: real kubectl, pods as processes, no containers."""


lab.add_command(lab_faults.wan)
lab.add_command(lab_faults.break_)


@lab.command(
    epilog="""
\b
Examples:
  isthmus lab up
  isthmus lab up --clusters north,south,west --dir /tmp/three
  isthmus lab up --nodes 3
  isthmus lab up --flat
"""
)
@click.option(
    "--clusters",
    default="cluster-east,cluster-west",
    show_default=True,
    help="Names of the clusters, separated by commas.",
)
@click.option("--flat", is_flag=True, help="Pods reach the pods of other clusters by their own addresses.")
@click.option("--nodes", type=int, help="How many nodes each cluster has [default: 1, or as many as there are].")
@dir_option
def up(clusters: str, flat: bool, nodes: int | None, directory: Path | None) -> None:
    """Start a lab and wait until its clusters are ready. Harmless when it runs already."""
    from isthmus.lab import supervisor
    from isthmus.lab.config import LabError

    began = time.monotonic()
    place = lab_at(directory)
    names = tuple(name.strip() for name in clusters.split(",") if name.strip())
    try:
        supervisor.up(place, names, click.echo, flat=flat, nodes=nodes)
    except LabError as error:
        fail(error)
    following = shlex.join([installed(), "lab", "env", *(["--dir", str(directory)] if directory else [])])
    click.echo(f'Ready in {time.monotonic() - began:.1f} s. Next: eval "$({following})"')


@lab.command(epilog="\b\nExamples:\n  isthmus lab down\n  isthmus lab down --dir /tmp/three\n")
@dir_option
def down(directory: Path | None) -> None:
    """End a lab and remove its files. Nothing of it is left."""
    from isthmus.lab import supervisor
    from isthmus.lab.config import LabError

    place = lab_at(directory)
    try:
        ended = supervisor.down(place)
    except LabError as error:
        fail(error)
    click.echo(f"The lab in {place.path} is gone." if ended else f"There is no lab in {place.path}.")


@lab.command(epilog="\b\nExamples:\n  isthmus lab status\n  isthmus lab status -o json | jq '.clusters[].pods'\n")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Output format.")
@dir_option
def status(output: str, directory: Path | None) -> None:
    """Show a lab's clusters, API addresses, nodes, pods and processes."""
    import json

    from isthmus.lab import status as states
    from isthmus.lab import supervisor
    from isthmus.lab.config import LabError

    place = lab_at(directory)
    try:
        state = states.observe(place, supervisor.running(place))
    except LabError as error:
        fail(error)
    click.echo(json.dumps(state, indent=2) if output == "json" else "\n".join(states.lines(state)))


@lab.command(short_help="Print the lines that set up this shell", epilog='\b\nExamples:\n  eval "$(isthmus lab env)"\n')
@dir_option
def env(directory: Path | None) -> None:
    """Print the lines that point this shell's kubectl and linkerd at the lab."""
    from isthmus.lab import environment, supervisor
    from isthmus.lab.config import LabError

    place = lab_at(directory)
    try:
        supervisor.running(place)
    except LabError as error:
        fail(error)
    click.echo(environment.export_lines(environment.exports(place, os.environ)), nl=False)


@lab.command(
    epilog="""
\b
Examples:
  isthmus lab node cluster-east -- tcpdump -ni eth0 port 4143
  isthmus lab node cluster-west-2 -- nft list table ip kube
""",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("name")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@dir_option
def node(name: str, command: tuple[str, ...], directory: Path | None) -> None:
    """Run COMMAND in the network namespace of the node NAME, or of a cluster's first node."""
    from isthmus.lab import orders, supervisor
    from isthmus.lab.config import LabError

    place = lab_at(directory)
    try:
        record = supervisor.running(place)
        words = supervisor.inside_command(record, orders.nodes(place, record, name)[0], list(command))
    except LabError as error:
        fail(error)
    os.execvp(words[0], words)  # noqa: S606


@lab.group(
    epilog="""
\b
Examples:
  isthmus lab image add example.org/shop/cart:v2 -- /usr/bin/python3 /home/me/cart.py
  isthmus lab image list
"""
)
def image() -> None:
    """Say which program of this machine stands for a container image."""


@image.command(
    "add",
    epilog="\b\nExamples:\n  isthmus lab image add shop/cart -- /usr/bin/python3 /home/me/cart.py --port 8080\n",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("name")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@dir_option
def image_add(name: str, program: tuple[str, ...], directory: Path | None) -> None:
    """Run PROGRAM where a container names the image NAME (any tag). Pods that wait for it start soon."""
    from isthmus.lab import supervisor, user_images
    from isthmus.lab.config import LabError

    place = lab_at(directory)
    try:
        supervisor.running(place)
        added = user_images.add(place.path, name, program)
    except LabError as error:
        fail(error)
    click.echo(f"{added} runs {' '.join(program)}")


@image.command("remove", epilog="\b\nExamples:\n  isthmus lab image remove shop/cart\n")
@click.argument("name")
@dir_option
def image_remove(name: str, directory: Path | None) -> None:
    """Forget an image that was added. Pods that run keep running."""
    from isthmus.lab import supervisor, user_images
    from isthmus.lab.config import LabError

    place = lab_at(directory)
    try:
        supervisor.running(place)
        removed = user_images.remove(place.path, name)
    except LabError as error:
        fail(error)
    click.echo(f"{removed} is forgotten")


@image.command("list", epilog="\b\nExamples:\n  isthmus lab image list\n")
@dir_option
def image_list(directory: Path | None) -> None:
    """List the images that were added."""
    from isthmus.lab import supervisor, user_images
    from isthmus.lab.config import LabError

    place = lab_at(directory)
    try:
        supervisor.running(place)
        found = user_images.read(place.path)
    except LabError as error:
        fail(error)
    for name, entry in sorted(found.items()):
        click.echo(f"{name}  {' '.join(entry.get('entrypoint') or ())}")
