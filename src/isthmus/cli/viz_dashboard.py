"""`linkerd viz dashboard`: the page of all linked clusters, in the browser."""

import asyncio
import shutil
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import PODS
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.viz_ask import INSTALL

if TYPE_CHECKING:
    from isthmus.cli.dashboard_relay import Relay

WEB_PORT: Final = 8084
DEFAULT_PORT: Final = 50750
LOCAL: Final = "127.0.0.1"
ENDS: Final = 5.0
EPILOG: Final = """
\b
Examples:
  linkerd viz dashboard
  linkerd viz dashboard --context cluster-west --show url
  linkerd viz dashboard --port 8080
"""


@click.command(epilog=EPILOG)
@cluster_options
@click.option("-p", "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True,
              help="Local port; 0 takes a free one")  # fmt: skip
@click.option("--show", type=click.Choice(["browser", "url"]), default="browser", show_default=True,
              help="Open a browser, or only print where to look")  # fmt: skip
def dashboard(*, cluster: Cluster, port: int, show: str) -> None:
    """Show one live picture of all linked clusters. Runs until Ctrl-C."""
    pod = _ready_pod(cluster)
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        fail("kubectl is not on PATH.", "Install it; this command runs `kubectl port-forward`.")
    flags = [
        *(["--kubeconfig", cluster.kubeconfig] if cluster.kubeconfig else []),
        *(["--context", cluster.context] if cluster.context else []),
    ]
    words = [kubectl, *flags, "port-forward", "-n", names.VIZ_NAMESPACE, f"pod/{pod}", f"--address={LOCAL}"]
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_show(cluster, [*words, f":{WEB_PORT}"], port=port, browser=show == "browser"))
        sys.exit(1)


def _ready_pod(cluster: Cluster) -> str:
    with connected(cluster) as client:
        pods = client.list(PODS, names.VIZ_NAMESPACE, labels=f"component={names.VIZ_WEB}")
    pods = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not pods:
        fail(f"There is no pod of the dashboard in {cluster.label}.", INSTALL)
    for pod in pods:
        conditions = pod.get("status", {}).get("conditions", [])
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            return str(pod["metadata"]["name"])
    return fail(f"The dashboard's pod is not ready in {cluster.label}.", "Run `linkerd viz check`.")


async def _show(cluster: Cluster, words: list[str], *, port: int, browser: bool) -> None:
    """Until kubectl ends, which it does with the pod, or this task is cancelled."""
    from isthmus.cli.dashboard_relay import Relay  # a third of a second, which `--help` need not spend
    from isthmus.cli.dashboard_requests import LiveRequests

    forwarding = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert forwarding.stdout
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # kubectl must not stay behind
    try:
        upstream = f"http://{LOCAL}:{await _forwarded_port(forwarding.stdout)}"
        async with _serving(Relay(upstream, LiveRequests(cluster)), port) as own:
            _announce(f"http://localhost:{own}", browser=browser)
            async for _ in forwarding.stdout:
                pass
        click.echo("The connection to the dashboard's pod ended: run the command again.", err=True)
    finally:
        with suppress(ProcessLookupError):
            forwarding.terminate()
        async with asyncio.timeout(ENDS):
            await forwarding.wait()


@asynccontextmanager
async def _serving(relay: "Relay", port: int) -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        try:
            own = await stack.enter_async_context(relay.serving(LOCAL, port))
        except OSError:
            fail("The port is taken on this machine.", "Choose another with --port, or a free one with --port 0.")
        yield own


async def _forwarded_port(said: asyncio.StreamReader) -> int:
    """Where kubectl listens; ends the command in kubectl's words where it does not."""
    lines = []
    async for raw in said:
        line = raw.decode(errors="replace").strip()
        # Forwarding from 127.0.0.1:50750 -> 8084
        if line.startswith("Forwarding from "):
            return int(line.split(" ->")[0].rpartition(":")[2])
        lines.append(line)
    return fail(f"The port could not be forwarded: {' '.join(lines) or 'kubectl said nothing'}")


def _announce(url: str, *, browser: bool) -> None:
    click.echo(f"The dashboard of all linked clusters is at {url}")
    click.echo("It is there until you press Ctrl-C.")
    if browser and not webbrowser.open(url):
        click.echo("No browser could be opened: open the address yourself.", err=True)
