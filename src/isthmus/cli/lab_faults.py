"""`isthmus lab wan` and `isthmus lab break`: a lab with a bad network, and parts that are dead, stuck or cut off."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.cli.lab_options import dir_option, fail, lab_at

if TYPE_CHECKING:
    from isthmus.lab.config import LabDir


def _output(command: Callable[..., Any]) -> Callable[..., Any]:
    kinds = click.Choice(["text", "json"])
    return click.option("-o", "--output", type=kinds, default="text", help="Output format.")(command)


def _show(place: "LabDir", output: str, said: str) -> None:
    """What was done, or, as JSON, everything that is broken now."""
    from isthmus.lab import status

    click.echo(json.dumps(status.faults(place), indent=2) if output == "json" else said)


@click.command(
    epilog="""
\b
Examples:
  isthmus lab wan --between cluster-east,cluster-west --delay 40ms --jitter 5ms --loss 1%
  isthmus lab wan --between cluster-east,cluster-west --rate 100mbit
  isthmus lab wan --between cluster-east,cluster-west --partition
  isthmus lab wan --heal
"""
)
@click.option("--between", default="", help="Clusters, separated by commas: every two of them.")
@click.option("--delay", help="How long a packet takes each way, as 40ms.")
@click.option("--jitter", help="How much sooner or later it may come, as 5ms.")
@click.option("--loss", help="The share of packets that never come, as 1%.")
@click.option("--rate", help="How much goes through each way, as 100mbit.")
@click.option("--partition", is_flag=True, help="Nothing comes through.")
@click.option("--heal", is_flag=True, help="Everything is well again (without --between: everywhere).")
@_output
@dir_option
def wan(between: str, partition: bool, heal: bool, output: str, directory: Path | None, **given: str | None) -> None:
    """Say how the network between clusters is. What is said replaces what was said before."""
    from isthmus.lab import orders, supervisor
    from isthmus.lab.config import LabError
    from isthmus.lab.faults import Wan

    said = {name: text for name, text in given.items() if text is not None}
    if heal and (said or partition):
        raise click.UsageError("--heal goes alone, or with --between.")
    if not heal and not (said or partition):
        raise click.UsageError(
            "Say how the network is to be: --delay, --jitter, --loss, --rate, --partition or --heal."
        )
    if not heal and not between:
        raise click.UsageError("Say between which clusters, as in --between cluster-east,cluster-west.")
    place = lab_at(directory)
    read = {"delay": orders.seconds, "jitter": orders.seconds, "loss": orders.share, "rate": orders.bits}
    try:
        values = {name: read[name](text) for name, text in said.items()}
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    if "rate" in values and not values["rate"]:
        raise click.UsageError("--rate 0 lets nothing through: say --partition.")
    try:
        record = supervisor.running(place)
        names = [name.strip() for name in between.split(",") if name.strip()]
        chosen = orders.pairs(record, names) if names else None
        if heal:
            orders.heal_wan(place, chosen)
        else:
            orders.spoil(place, record, chosen or (), Wan(between=("", ""), partition=partition, **values))
    except LabError as error:
        fail(error)
    where = ", ".join(" - ".join(ends) for ends in chosen) if chosen else "everywhere"
    _show(place, output, f"{where}: {'well' if heal else 'as said, until --heal'}")


@click.command(
    "break",
    epilog="""
\b
Examples:
  isthmus lab break cluster cluster-east --kill
  isthmus lab break apiserver cluster-east --hang
  isthmus lab break pod cluster-east/backend-6d4f9c7b8-x2x7k --blackhole
  isthmus lab break node cluster-west-2 --kill
  isthmus lab break cluster cluster-east --heal
""",
)
@click.argument("kind", type=click.Choice(["pod", "node", "apiserver", "cluster"]))
@click.argument("name")
@click.option("--kill", "how", flag_value="kill", help="Its programs die. A pod's come back; all else stays down.")
@click.option("--hang", "how", flag_value="hang", help="Its programs stop where they are.")
@click.option("--blackhole", "how", flag_value="blackhole", help="Packets to and from it are lost.")
@click.option("--heal", "how", flag_value="heal", help="It is well again; a cluster with all that is in it.")
@_output
@dir_option
def break_(kind: str, name: str, how: str | None, output: str, directory: Path | None) -> None:
    """Break a part of the lab until it is healed, or heal it.

    NAME is a cluster's or a node's (a cluster's stands for all its nodes), or CLUSTER/[NAMESPACE/]POD.
    """
    from isthmus.lab import orders, supervisor
    from isthmus.lab.config import LabError
    from isthmus.lab.faults import How, Kind

    if how is None:
        raise click.UsageError("Say what to do: --kill, --hang, --blackhole or --heal.")
    place = lab_at(directory)
    try:
        record = supervisor.running(place)
        if how == "heal":
            count = orders.heal(place, record, Kind(kind), name)
            said = f"{kind} {name} is {'healed' if count else 'well'}"
        else:
            orders.damage(place, record, Kind(kind), name, How(how))
            said = f"{kind} {name}: {how}"
    except LabError as error:
        fail(error)
    _show(place, output, said)
