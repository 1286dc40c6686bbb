"""Runs inside fresh namespaces as root: starts real containers and prints, as JSON, what was seen."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from isthmus.lab import images
from isthmus.lab.node import commands, containers, network, privileges, processes, rootfs

CIDR = "10.244.0.0/16"
LAB_IMAGE = "localhost/isthmus/proxy"


async def container(folder, number, command, security=None, *, tty=False):
    netns = f"pod-{number}"
    await network.add_pod(netns, address=f"10.244.0.{number + 2}", pod_cidr=CIDR)
    root = folder / f"root-{number}"
    files = images.Images().find(LAB_IMAGE).files
    mounts = [
        *rootfs.system_mounts(),
        *(rootfs.bind(file, path) for path, file in files.items() if "envoy" not in path),
    ]
    rootfs.prepare(root, mounts, {"/etc/hosts": "127.0.0.1 localhost\n"})
    table = folder / f"{number}.fstab"
    table.write_text(rootfs.fstab(root, mounts))
    return await processes.start(
        processes.Launch(
            netns=netns,
            hostname=netns,
            root=root,
            mounts=table,
            working_dir="/tmp",
            command=tuple(command),
            environment=images.default_environment(),
            privileges=tuple(privileges.setpriv(security or {})),
            stdin=tty,
            tty=tty,
        )
    )


async def output(process):
    return (await process.stdout.read()).decode().split()


async def main(folder):
    for line in ("link add cni0 type bridge", "addr add 10.244.0.1/16 dev cni0", "link set cni0 up"):
        await commands.run(["ip", *line.split()])
    seen = {}
    look = "id -u; hostname; pwd; command -v linkerd-await; grep CapEff /proc/self/status; ip -o addr show eth0"
    user = {"runAsUser": 2102, "capabilities": {"add": ["NET_ADMIN"]}}
    seen["user"] = await output(await container(folder, 1, ["sh", "-c", look], user))
    seen["python"] = await output(
        await container(folder, 2, [sys.executable, "-c", "import isthmus; print('ok')"], user)
    )
    readonly = await container(folder, 3, ["sh", "-c", "touch /usr/x || echo refused"])
    seen["read only"] = await output(readonly)

    deaf = await container(folder, 4, ["sleep", "1000"])
    inside = await processes.enter(
        deaf.pid,
        ["sh", "-c", "tty; hostname; exit 3"],
        images.default_environment(),
        privileges=privileges.setpriv({}),
        tty=True,
    )
    seen["exec"] = [*await output(inside), await inside.wait()]
    missing = await processes.enter(
        deaf.pid, ["nonsense"], images.default_environment(), privileges=privileges.setpriv({})
    )
    seen["missing program"] = await missing.wait()

    polite = await container(folder, 5, ["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep 1000 & wait"], user)
    await polite.stdout.readline()
    seen["listens"] = [containers.listens_to_term(deaf.pid), containers.listens_to_term(polite.pid)]
    polite.signal(signal.SIGTERM)
    seen["term"] = await polite.wait()
    await network.remove_pod("pod-4")
    await network.add_pod("pod-4", address="10.244.0.6", pod_cidr=CIDR)
    seen["made again"] = await commands.run(["ip", "-n", "pod-4", "-o", "-4", "addr", "show", "eth0"])
    deaf.kill()
    seen["kill"] = await deaf.wait()
    shell = await container(folder, 6, ["sh"], tty=True)
    shell.stdin.write(b"echo $((40 + 2)); exit 4\n")
    seen["terminal"] = ["42" in await output(shell), await shell.wait()]
    for number in (7, 8):
        await container(folder, number, ["sleep", "4321"], user if number == 8 else None)
    print(json.dumps(seen), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main(Path(sys.argv[1])))
