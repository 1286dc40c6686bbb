"""The kubelet of a node: runs the pods that are bound to it, and offers exec, attach, logs and port-forward."""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from isthmus.lab.caches import Caches
from isthmus.lab.client import CONFIG_MAPS, PODS, SECRETS, Client, Object
from isthmus.lab.images import Images
from isthmus.lab.node import network, processes, volumes
from isthmus.lab.node.commands import CommandError, run
from isthmus.lab.node.containers import Container
from isthmus.lab.node.events import Recorder
from isthmus.lab.node.launches import NodeContext
from isthmus.lab.node.network import AddressPool
from isthmus.lab.node.pods import Pod
from isthmus.lab.node.streams import ExecProcess, StreamError
from isthmus.lab.watch import Change

log = logging.getLogger(__name__)

DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
WATCHED: Final = {"Pod": PODS, "ConfigMap": CONFIG_MAPS, "Secret": SECRETS}


class Kubelet:
    """Runs every pod of the node. `run` never returns by itself; it is also what streams serve (`Containers`)."""

    def __init__(
        self,
        client: Client,
        caches: Caches,
        *,
        cluster: str,
        node: str,
        address: str,
        pod_cidr: str,
        cluster_domain: str,
        folder: Path,
        images: Images,
    ) -> None:
        self._client = client
        self._recorder = Recorder(client, node)
        self._watches = {kind: caches[resource] for kind, resource in WATCHED.items()}
        self._context = NodeContext(
            cluster=cluster,
            name=node,
            address=address,
            pod_cidr=pod_cidr,
            cluster_domain=cluster_domain,
            folder=folder / "run",
            logs=folder / "logs",
            client=client,
            images=images,
            addresses=AddressPool(pod_cidr),
            recorder=self._recorder,
            lookup=self._look_up,
        )
        self._pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup

    async def run(self) -> None:
        await self._clear_away()
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._recorder.run())
            for kind in ("ConfigMap", "Secret"):
                await self._watches[kind].synced.wait()
                self._watches[kind].subscribe(partial(self._source_changed, kind))
            self._watches["Pod"].subscribe(self._pod_changed)

    async def _clear_away(self) -> None:
        """What a former process of this node left: its processes died with it, its files and networks did not."""
        context = self._context
        context.folder.mkdir(parents=True, exist_ok=True)
        for entry in context.folder.iterdir():
            await network.remove_pod(network.namespace_of(context.cluster, entry.name))
            shutil.rmtree(entry, ignore_errors=True)
        if not context.folder.is_mount():
            try:
                await run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(context.folder)])
            except CommandError as error:
                log.warning("the pods' files are kept on disk: %s", error)
        context.folder.chmod(0o755)
        context.logs.mkdir(parents=True, exist_ok=True)

    def _look_up(self, kind: str, namespace: str, name: str) -> Object | None:
        found = self._watches[kind].get(name, namespace)
        return found if found is None or found.get("kind") else {**found, "kind": kind}

    # --- pods come and go ---

    def _pod_changed(self, change: Change) -> None:
        pod = change.latest
        uid = pod["metadata"]["uid"]
        if change.new is None:
            if known := self._pods.get(uid):
                known.vanish()
        elif known := self._pods.get(uid):
            known.observe(pod)
        elif pod["spec"].get("nodeName") == self._context.name:
            self._pods[uid] = Pod(self._context, pod)
            self._tasks[uid] = self._group.create_task(self._keep(uid), name=f"pod {change.key}")
            if pod["metadata"].get("deletionTimestamp"):
                self._pods[uid].end()

    async def _keep(self, uid: str) -> None:
        pod = self._pods[uid]
        try:
            await pod.run()
        except Exception:
            log.exception("%s: unexpected; the pod is given up", pod.title)
            pod.event("Failed", f"the lab could not go on with this pod, see {self._context.name}'s log", warning=True)
        finally:
            self._pods.pop(uid, None)
            self._tasks.pop(uid, None)

    def _source_changed(self, kind: str, change: Change) -> None:
        namespace, name = change.key
        for pod in self._pods.values():
            if pod.namespace == namespace and (kind, name) in volumes.references(pod.object["spec"]):
                pod.refresh_volumes()

    # --- streams ---

    def _pod(self, namespace: str, name: str) -> Pod:
        found = self._watches["Pod"].get(name, namespace)
        pod = self._pods.get(found["metadata"]["uid"]) if found else None
        if pod is None:
            raise StreamError.not_found(f'pods "{name}" not found in namespace "{namespace}"')
        return pod

    def _container(self, namespace: str, pod: str, container: str) -> tuple[Pod, Container]:
        found = self._pod(namespace, pod)
        annotations = found.object["metadata"].get("annotations") or {}
        wanted = container or annotations.get(DEFAULT_CONTAINER) or found.object["spec"]["containers"][0]["name"]
        for one in found.containers:
            if one.name == wanted:
                return found, one
        names = ", ".join(one.name for one in found.containers)
        raise StreamError.bad_request(f"container {wanted} is not valid for pod {pod}: it has {names}")

    def _process(self, namespace: str, pod: str, container: str) -> tuple[Container, processes.Process]:
        _, found = self._container(namespace, pod, container)
        if found.process is None:
            raise StreamError.bad_request(f'container "{found.name}" in pod "{pod}" is not running')
        return found, found.process

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> ExecProcess:
        found, process = self._process(namespace, pod, container)
        assert found.launched is not None
        try:
            return await processes.enter(
                process.pid,
                command,
                found.launched.environment,
                privileges=found.launched.privileges,
                tty=tty,
                stdin=stdin,
            )
        except OSError as error:
            raise StreamError.internal(f'the command could not be started in "{found.name}": {error}') from error

    async def attach(self, namespace: str, pod: str, container: str, *, tty: bool, stdin: bool) -> ExecProcess:
        found, _ = self._process(namespace, pod, container)
        assert found.output is not None
        if stdin and not found.spec.get("stdin"):
            stdin = False
        return found.output.attach(stdin=stdin)

    def log_path(self, namespace: str, pod: str, container: str) -> Path:
        owner, found = self._container(namespace, pod, container)
        if not found.view.container_id:
            waiting = found.view.state.get("waiting", {})
            raise StreamError.bad_request(
                f'container "{found.name}" in pod "{pod}" is waiting to start: {waiting.get("reason", "not started")}'
            )
        return owner.log_file(found.name, found.view.restarts)

    def running(self, namespace: str, pod: str, container: str) -> bool:
        _, found = self._container(namespace, pod, container)
        return found.process is not None

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        owner = self._pod(namespace, pod)
        try:
            return await network.dial(owner.netns, port)
        except (OSError, CommandError) as error:
            raise StreamError.internal(f'port {port} of pod "{pod}" does not answer: {error}') from error
