"""A connection to the cluster a command talks to, with every failure told as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isthmus.cli.options import Cluster, fail
from isthmus.kube import errors

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

HINT = "Check --kubeconfig and --context, or try `kubectl cluster-info`."


@contextmanager
def connected(cluster: Cluster) -> Iterator["SyncClient"]:
    """The client of a cluster; anything that goes wrong with it inside the block ends the command."""
    from isthmus.kube.blocking import connect_sync  # a third of a second, which `--help` need not spend

    try:
        with connect_sync(cluster.kubeconfig, cluster.context) as client:
            yield client
    except (errors.ConfigError, errors.Unreachable) as error:
        fail(str(error), HINT)
    except errors.KubeError as error:
        fail(str(error))
