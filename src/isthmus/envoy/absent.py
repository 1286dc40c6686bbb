"""The answer to a name that means nothing (any more): a cluster without endpoints.

Envoy asks for a name once. If the answer is that there is no such resource, the first request fails at once, but
every later one waits the full discovery timeout in vain, because the name is still subscribed to. An empty cluster
fails every request at once, and is replaced like any other when the name comes to mean something.
"""

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2

from isthmus.envoy import wire


def cluster(name: str) -> Any:
    return cluster_pb2.Cluster(name=name, type="STATIC", connect_timeout=wire.seconds(1))
