"""Watch caches that are needed together are ready together, and say which one is not."""

from isthmus.kube.client import connect
from isthmus.kube.informers import Informers
from isthmus.kube.kinds import plain
from isthmus.kube.watch import Informer

KUBECONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "c",
}


async def test_the_first_that_is_not_listed_is_named_until_all_are():
    async with connect(KUBECONFIG) as client:
        services, pods = (Informer(client, plain("v1", kind, kind.lower() + "s")) for kind in ("Service", "Pod"))
        group = Informers(services, pods)
        assert group.waiting_for() == "waiting for services"
        services.synced.set()
        assert group.waiting_for() == "waiting for pods"
        pods.synced.set()
        assert group.waiting_for() is None
        await group.synced()
