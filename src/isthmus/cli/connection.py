"""A connection to the cluster a command talks to, with every failure told as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from isthmus.cli.options import Cluster, fail
from isthmus.kube import errors
from isthmus.kube.client import SyncClient, connect_sync

HINT = "Check --kubeconfig and --context, or try `kubectl cluster-info`."


@contextmanager
def connected(cluster: Cluster) -> Iterator[SyncClient]:
    """The client of a cluster; anything that goes wrong with it inside the block ends the command."""
    try:
        with connect_sync(cluster.kubeconfig, cluster.context) as client:
            yield client
    except (errors.ConfigError, errors.Unreachable) as error:
        fail(str(error), HINT)
    except errors.KubeError as error:
        fail(str(error))
