"""One pod from binding to deletion: its network, its volumes, its containers in order, its status, its end."""

import asyncio
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from isthmus.lab.client import PODS, ApiError, NotFoundError, Object
from isthmus.lab.node import history, network, rootfs, status, volumes
from isthmus.lab.node.commands import CommandError
from isthmus.lab.node.containers import Container
from isthmus.lab.node.environment import ConfigError, Lookup
from isthmus.lab.node.launches import NodeContext, Place, make_ready
from isthmus.lab.node.processes import Launch
from isthmus.lab.node.reports import RETRY_FIRST, RETRY_MOST, Report
from isthmus.lab.node.status import ContainerView, Role
from isthmus.lab.node.tokens import PodTokens

log = logging.getLogger(__name__)

SIDECAR_GRACE: Final = 2.0
"""At least this long for sidecars after the main containers used up the pod's grace period."""


class Pod:
    """One pod on this node. `run` returns when nothing of it is left here."""

    def __init__(self, context: NodeContext, pod: Object) -> None:
        self.context = context
        self.object = pod
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        self.title = f"{self.name}_{self.namespace}({self.uid})"
        self.restart_policy: str = pod["spec"].get("restartPolicy") or "Always"
        self.containers = self._make_containers()
        self._netns = network.namespace_of(context.cluster, self.uid)
        self._folder = context.folder / self.uid
        self._tokens = PodTokens(context.client, pod, volumes.token_requests(pod["spec"]))
        self._address = ""
        self._allocated = ""
        self._report = Report(context, pod, self._look)
        self._refresh = asyncio.Event()
        self._ending = asyncio.Event()
        self._deleted = False

    def _make_containers(self) -> list[Container]:
        spec, before = self.object["spec"], history.restart_counts(self.object)
        first = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
        return [
            Container(one, status.role_of(one, init=init), self, waiting=first, restarts=before.get(one["name"], 0))
            for init, section in ((True, spec.get("initContainers") or ()), (False, spec["containers"]))
            for one in section
        ]

    def _look(self) -> tuple[Object, list[ContainerView], str]:
        return self.object, [container.view for container in self.containers], self._address

    # --- what the kubelet says ---

    def observe(self, pod: Object) -> None:
        """The API's object is another one now."""
        shown = ("labels", "annotations")
        if any(pod["metadata"].get(name) != self.object["metadata"].get(name) for name in shown):
            self._refresh.set()
        self.object = pod
        self._report.observe(pod)
        if pod["metadata"].get("deletionTimestamp"):
            self.end()

    def end(self) -> None:
        """The pod is to end, within its grace period."""
        self._ending.set()

    def vanish(self) -> None:
        """The object is gone already: end everything at once."""
        self._deleted = True
        self._ending.set()
        self.kill()

    def kill(self) -> None:
        for container in self.containers:
            container.stop(0.0)
            if container.process:
                container.process.kill()

    def refresh_volumes(self) -> None:
        self._refresh.set()

    # --- what containers ask ---

    def changed(self) -> None:
        self._report.changed()

    def event(self, reason: str, message: str, *, container: str = "", warning: bool = False) -> None:
        self.context.recorder.record(self.object, reason, message, container=container, warning=warning)

    def address(self) -> str:
        return self._address

    @property
    def netns(self) -> str:
        return self._netns

    def log_file(self, container: str, restart: int) -> Path:
        return self.log_folder / container / f"{restart}.log"

    @property
    def log_folder(self) -> Path:
        return self.context.logs / f"{self.namespace}_{self.name}_{self.uid}"

    async def launch(self, spec: Mapping[str, Any], identifier: str) -> Launch:
        image = self.context.images.find(spec["image"])
        self.event("Pulled", f'Container image "{spec["image"]}" already present on machine', container=spec["name"])
        place = Place(self._netns, self._address, self._folder, self._lookup())
        return make_ready(self.context, self._seen_from_inside(), place, spec, image, identifier)

    def discard(self, launch: Launch) -> None:
        rootfs.remove(launch.root)
        launch.mounts.unlink(missing_ok=True)

    def _seen_from_inside(self) -> Object:
        """The object with the addresses that its status may not show yet."""
        known = {"podIP": self._address, "hostIP": self.context.address}
        return self.object | {"status": (self.object.get("status") or {}) | known}

    def _lookup(self) -> Lookup:
        return lambda kind, name: self.context.lookup(kind, self.namespace, name)

    # --- the life of the pod ---

    async def run(self) -> None:
        """Bring it up, keep it, and take it down when told. Nothing it started is left when this returns."""
        publishing = asyncio.create_task(self._report.keep())
        self.changed()  # a pod that ran before this node process began is not ready now, and has no address
        try:
            await self._live()
            if not self._deleted:
                if not history.finished(self.object):
                    await self._report.settle()
                await self._ending.wait()
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await self._clean_up()
        if not self._deleted and self.object["metadata"].get("deletionTimestamp"):
            await self._confirm_end()

    async def _live(self) -> None:
        """From nothing until every container has ended for good."""
        if history.finished(self.object):
            return
        if history.spent(self.object):
            states = history.states(self.object)
            for container in self.containers:
                container.lose(states.get(container.name) or {})
            return
        ending = asyncio.create_task(self._ending.wait())
        starting = asyncio.create_task(self._set_up())
        try:
            await asyncio.wait({ending, starting}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done() or not starting.result():
                return
            async with asyncio.TaskGroup() as group:
                upkeep = [
                    group.create_task(self._tokens.run(self._refresh.set)),
                    group.create_task(self._keep_volumes()),
                ]
                containers = group.create_task(self._run_containers())
                stopping = group.create_task(self._stop_when_ending(containers))
                await containers
                for task in (*upkeep, stopping):
                    task.cancel()
        finally:
            ending.cancel()
            starting.cancel()
            await asyncio.gather(ending, starting, return_exceptions=True)

    async def _set_up(self) -> bool:
        """Network and volumes, tried until they are there. The folder says whose network is to go if we die."""
        self._folder.mkdir(parents=True, exist_ok=True)
        address = self._allocated = self.context.addresses.allocate()
        pause = RETRY_FIRST
        while True:
            try:
                await network.add_pod(self._netns, address=address, pod_cidr=self.context.pod_cidr)
                break
            except CommandError as error:
                self.event("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}", warning=True)
                with suppress(CommandError):
                    await network.remove_pod(self._netns)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)
        self._address = address
        self.changed()
        pause = RETRY_FIRST
        while True:
            try:
                await self._tokens.fetch()
                self._write_volumes()
                return True
            except ConfigError as error:
                self.event("FailedMount", f"MountVolume.SetUp failed: {error}", warning=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)

    def _write_volumes(self) -> None:
        for volume in self.object["spec"].get("volumes") or ():
            folder = self._folder / "volumes" / volume["name"]
            files = volumes.contents(self._seen_from_inside(), volume, self._lookup(), self._tokens)
            if files is None:
                volumes.make_empty(folder)
            else:
                volumes.write(folder, files)

    async def _keep_volumes(self) -> None:
        while True:
            await self._refresh.wait()
            self._refresh.clear()
            try:
                self._write_volumes()
            except ConfigError as error:
                self.event("FailedMount", f"MountVolume.SetUp failed: {error}", warning=True)

    async def _run_containers(self) -> None:
        """Init containers one after the other, sidecars along with them, then the main ones, then the sidecars' end."""
        async with asyncio.TaskGroup() as group:
            sidecars: list[Container] = []
            for container in self._of(Role.INIT, Role.SIDECAR):
                if self._ending.is_set():
                    break
                if container.view.role is Role.SIDECAR:
                    sidecars.append(container)
                    group.create_task(container.supervise())
                    await container.until_started()
                else:
                    await container.supervise()
                    if container.view.exit_code:
                        break
            else:
                mains = [group.create_task(container.supervise()) for container in self._of(Role.MAIN)]
                await asyncio.gather(*mains)
            for container in reversed(sidecars):
                container.stop(self._sidecar_grace())

    async def _stop_when_ending(self, containers: asyncio.Task[None]) -> None:
        await self._ending.wait()
        grace = self._grace()
        for container in self._of(Role.MAIN, Role.INIT):
            container.stop(grace)
        if not any(container.process for container in self._of(Role.MAIN)):
            for container in self._of(Role.SIDECAR):
                container.stop(grace)
        await asyncio.wait({containers}, timeout=grace + SIDECAR_GRACE)
        self.kill()

    def _of(self, *roles: Role) -> list[Container]:
        return [container for container in self.containers if container.view.role in roles]

    def _grace(self) -> float:
        metadata, spec = self.object["metadata"], self.object["spec"]
        told = metadata.get("deletionGracePeriodSeconds")
        usual = spec.get("terminationGracePeriodSeconds")
        return float(told if told is not None else usual if usual is not None else 30)

    def _sidecar_grace(self) -> float:
        return max(self._grace(), SIDECAR_GRACE)

    # --- the end ---

    async def _clean_up(self) -> None:
        if self._allocated:
            try:
                await network.remove_pod(self._netns)
            except CommandError as error:
                log.warning("%s: %s", self.title, error)
            self.context.addresses.release(self._allocated)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._deleted or self._ending.is_set():
            shutil.rmtree(self.log_folder, ignore_errors=True)

    async def _confirm_end(self) -> None:
        """Tell the API server that nothing is left: only now does it let the object go."""
        pause = RETRY_FIRST
        while True:
            try:
                await self.context.client.delete(PODS, self.name, self.namespace, grace_period=0, uid=self.uid)
                return
            except NotFoundError:
                return
            except ApiError as error:
                if error.code == 409:
                    return
                log.warning("%s: the end could not be confirmed: %s", self.title, error)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("%s: the end could not be confirmed: %s", self.title, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)
