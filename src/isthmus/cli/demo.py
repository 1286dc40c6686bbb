"""`isthmus demo`: from an empty machine to one authenticated request between two clusters, each step shown."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, Final

import click

from isthmus.cli.options import fail, program
from isthmus.cli.steps import StepFailed, Steps

EAST: Final = "cluster-east"
WEST: Final = "cluster-west"
BOTH: Final = (EAST, WEST)
EXAMPLES: Final = Path(__file__).parent / "examples"
EPILOG: Final = """
\b
Examples:
  isthmus demo
  isthmus demo --down
"""


@click.command(epilog=EPILOG)
@click.option("--dir", "directory", type=click.Path(), help="Directory of the lab [default: as `isthmus lab`]")
@click.option("--down", is_flag=True, help="Take the clusters down when the demo is over")
def demo(directory: str | None, down: bool) -> None:
    """Two clusters with their own roots of trust, linked, and the first request between them."""
    lab = [program(), "lab"]
    where = ["--dir", directory] if directory else []
    steps = Steps({**os.environ, "PYTHONUNBUFFERED": "1"}, click.echo)
    try:
        steps.run(
            "Two Kubernetes clusters on this machine",
            [shlex.join([*lab, "up", *where])],
            lambda _: f"{EAST} and {WEST} are ready",
        )
    except StepFailed as failure:
        fail(str(failure))
    try:
        steps.environment = _environment([*lab, "env", *where])
        response = _tutorial(steps)
    except StepFailed as failure:
        fail(
            str(failure),
            f"The clusters are left as they are: `{shlex.join([*lab, 'status', *where])}` tells about them.",
        )
    _tell(steps, response)
    _suggest(shlex.join(lab), shlex.join(where))
    if down:
        steps.run("The clusters go down", [shlex.join([*lab, "down", *where])])


def _environment(command: list[str]) -> dict[str, str]:
    """The environment after `eval "$(isthmus lab env)"`."""
    exports = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    printed = subprocess.run(
        ["/bin/bash", "-c", f"{exports}\nenv -0"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    return dict(line.split("=", 1) for line in printed.split("\0") if "=" in line)


def _tutorial(steps: Steps) -> dict[str, Any]:
    steps.run(
        "Isthmus in each, each with a root of trust of its own",
        [f"linkerd --context {name} install | kubectl --context {name} apply -f -" for name in BOTH],
        lambda outputs: f"{sum(len(text.splitlines()) for text in outputs)} objects applied",
    )
    steps.run(
        "Is it healthy?",
        [f"linkerd --context {name} check --wait 60s" for name in BOTH],
        lambda outputs: outputs[0].splitlines()[-1],
    )
    steps.run(
        "The multi-cluster extension: a gateway and a controller in each",
        [f"linkerd --context {name} multicluster install | kubectl --context {name} apply -f -" for name in BOTH],
        lambda outputs: f"{sum(len(text.splitlines()) for text in outputs)} objects applied",
    )
    steps.run(
        "The gateways and controllers start",
        [f"kubectl --context {name} -n linkerd-multicluster rollout status deploy --timeout 60s" for name in BOTH],
    )
    steps.run(
        "West is linked to east",
        [
            f"linkerd --context {EAST} multicluster link --cluster-name {EAST} | kubectl --context {WEST} apply -f -",
        ],
    )
    steps.run(
        "The backend in east, exported; the frontend in west",
        [
            shlex.join(["kubectl", "--context", EAST, "apply", "-f", str(EXAMPLES / "backend.yaml")]),
            shlex.join(["kubectl", "--context", WEST, "apply", "-f", str(EXAMPLES / "frontend.yaml")]),
        ],
    )
    steps.run(
        "They start",
        [
            f"kubectl --context {EAST} rollout status deploy/backend --timeout 60s",
            f"kubectl --context {WEST} rollout status deploy/frontend --timeout 60s",
        ],
    )
    steps.run(
        "East's backend has a name in west",
        [f"kubectl --context {WEST} get service backend-cluster-east"],
    )
    steps.run(
        "The link, as west sees it",
        [
            f"kubectl --context {WEST} -n linkerd-multicluster wait link/linkerd-{EAST} "
            "--for condition=Ready --timeout 60s"
        ],
    )
    (printed,) = steps.run(
        "The frontend calls http://backend-cluster-east:8080",
        [
            f"kubectl --context {WEST} exec deploy/frontend -c frontend -- "
            "curl -sSi --fail-with-body http://backend-cluster-east:8080/health"
        ],
        lambda outputs: outputs[0].splitlines()[0],
    )
    head, _, body = printed.replace("\r", "").partition("\n\n")
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
    return {"body": json.loads(body), "server_id": headers.get("l5d-server-id", "unknown")}


def _tell(steps: Steps, response: dict[str, Any]) -> None:
    body = response["body"]
    client = body.get("client_id")
    click.echo("\nThe answer")
    click.echo(f"  {json.dumps({key: body[key] for key in ('service', 'pod', 'path') if key in body})}")
    click.echo("\nWho met whom (each proved by a certificate, end to end)")
    click.echo(f"  client  {client}")
    click.echo(f"  server  {response['server_id']}")
    click.echo("\nThe path of the request")
    click.echo("  frontend -> its proxy (west) == mTLS tunnel ==> gateway (east) -> backend's proxy (east) -> backend")
    click.echo("                       \\________________ mTLS, client to server _______________/")
    click.echo("\nWhere the time went")
    for title, seconds in steps.times:
        click.echo(f"  {seconds:6.1f} s  {title}")
    click.echo(f"  {sum(seconds for _, seconds in steps.times):6.1f} s  in all")


def _suggest(lab: str, where: str) -> None:
    click.echo("\nTry next")
    click.echo(f'  eval "$({lab} env{where and " " + where})"')
    click.echo("  linkerd --context cluster-west multicluster gateways")
    click.echo("  kubectl --context cluster-east scale deploy/backend --replicas 0")
    click.echo("  kubectl --context cluster-west get link,svc,endpointslices -A")
    click.echo(f"  {lab} down{where and ' ' + where}")
