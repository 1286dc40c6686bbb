"""`linkerd viz dashboard`: one live picture of all linked clusters, in the browser."""

import shutil
import signal
import subprocess
import sys
import webbrowser
from typing import Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.control_plane import PODS
from isthmus.cli.options import Cluster, cluster_options, fail
from isthmus.cli.viz_ask import INSTALL

WEB_PORT: Final = 8084
DEFAULT_PORT: Final = 50750
LOCAL: Final = "127.0.0.1"
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
    forwarding = subprocess.Popen(
        [*words, f"{port or ''}:{WEB_PORT}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # kubectl must not stay behind
    try:
        url = f"http://localhost:{_local_port(forwarding)}"
        click.echo(f"The dashboard of all linked clusters is at {url}")
        click.echo("It is there until you press Ctrl-C.")
        if show == "browser" and not webbrowser.open(url):
            click.echo("No browser could be opened: open the address yourself.", err=True)
        _drain(forwarding)
    except KeyboardInterrupt:
        return
    finally:
        forwarding.terminate()
        forwarding.wait(5)


def _ready_pod(cluster: Cluster) -> str:
    with connected(cluster) as client:
        pods = client.list(PODS, names.VIZ_NAMESPACE, labels=f"component={names.VIZ_WEB}")
    if not pods:
        fail(f"There is no pod of the dashboard in {cluster.label}.", INSTALL)
    for pod in pods:
        conditions = pod.get("status", {}).get("conditions", [])
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            return str(pod["metadata"]["name"])
    return fail(f"The dashboard's pod is not ready in {cluster.label}.", "Run `linkerd viz check`.")


def _local_port(forwarding: "subprocess.Popen[str]") -> int:
    """Where kubectl listens; ends the command in kubectl's words where it does not."""
    assert forwarding.stdout
    said = []
    for line in forwarding.stdout:
        # Forwarding from 127.0.0.1:50750 -> 8084
        if line.startswith("Forwarding from "):
            return int(line.split(" ->")[0].rpartition(":")[2])
        said.append(line.strip())
    if any("unable to listen" in line or "address already in use" in line for line in said):
        fail("The port is taken on this machine.", "Choose another with --port, or a free one with --port 0.")
    return fail(f"The port could not be forwarded: {' '.join(said) or 'kubectl said nothing'}")


def _drain(forwarding: "subprocess.Popen[str]") -> None:
    """Until kubectl ends, which it does with the pod."""
    assert forwarding.stdout
    for _ in forwarding.stdout:
        pass
    forwarding.wait()
    click.echo("The connection to the dashboard's pod ended: run the command again.", err=True)
    sys.exit(1)
