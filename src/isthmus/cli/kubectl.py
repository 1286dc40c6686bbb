"""The few things that kubectl does better than we would: running a command in a pod."""

import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from isthmus.cli.options import Cluster, fail

TIMEOUT: Final = 30.0


class Unanswered(Exception):
    """The command did not run to its end in the pod; the message says why."""


def exec_in_pod(cluster: Cluster, *, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
    """What the command prints in the container; ends our command with kubectl's own words when it fails."""
    try:
        return ask_pod(cluster, namespace=namespace, pod=pod, container=container, command=command)
    except Unanswered as error:
        fail(f"Pod {namespace}/{pod}: {error}")


def ask_pod(cluster: Cluster, *, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
    """What the command prints in the container, or Unanswered."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        fail("kubectl is not on PATH.", "Install it; this command runs `kubectl exec`.")
    flags = [
        *(["--kubeconfig", cluster.kubeconfig] if cluster.kubeconfig else []),
        *(["--context", cluster.context] if cluster.context else []),
    ]
    try:
        done = subprocess.run(
            [kubectl, *flags, "exec", "-n", namespace, pod, "-c", container, "--", *command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unanswered(f"no answer within {TIMEOUT:.0f} s") from None
    if done.returncode:
        raise Unanswered(done.stderr.strip() or "the command failed")
    return done.stdout
