"""What a running lab looks like: clusters, nodes, pods and processes."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from isthmus.lab import processes
from isthmus.lab.client import NODES, PODS, Client, Object
from isthmus.lab.config import LabDir, Record

ANSWER_SECONDS: Final = 5.0


def observe(lab: LabDir, record: Record) -> dict[str, Any]:
    """The state of a lab as plain values, for people and for JSON."""
    outer = {process.inner_pid: process.pid for process in processes.inside(record.pid)}
    health = lab.read_health()
    clusters = asyncio.run(_clusters(lab, record))
    for cluster in clusters:
        cluster["processes"] = {
            name.partition("/")[2]: {
                "pid": outer.get(state.pid, 0),
                "restarts": state.restarts,
                "lastExit": state.last_exit,
            }
            for name, state in health.items()
            if name.startswith(f"{cluster['name']}/")
        }
    shown = {"dir": str(lab.path), "pid": record.pid, "kubeconfig": str(lab.kubeconfig)}
    return {**shown, "clusters": clusters, "faults": faults(lab)}


def faults(lab: LabDir) -> dict[str, Any]:
    """What is broken on purpose, as plain values."""
    found: dict[str, Any] = msgspec.to_builtins(lab.read_faults())
    return found


async def _clusters(lab: LabDir, record: Record) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_cluster(lab, record, name) for name in record.clusters)))


async def _cluster(lab: LabDir, record: Record, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name, "server": f"https://127.0.0.1:{record.ports[name]}"}
    async with Client.from_kubeconfig(lab.kubeconfig, name) as client:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                nodes, pods = (await client.list(NODES)).items, (await client.list(PODS)).items
        except Exception as error:
            said = str(error) or f"nothing came within {ANSWER_SECONDS:.0f} s"
            return {**shown, "error": f"its API server does not answer: {said}"}
    return {
        **shown,
        "nodes": [{"name": node["metadata"]["name"], "ready": is_ready(node), "ip": _node_ip(node)} for node in nodes],
        "pods": count_pods(pods),
    }


def count_pods(pods: Iterable[Object]) -> dict[str, int]:
    """Pods that should run, and those of them that are ready. Finished ones count for neither."""
    current = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    return {"ready": sum(is_ready(pod) for pod in current), "total": len(current)}


def is_ready(item: Object) -> bool:
    """Whether a node's or a pod's Ready condition is true."""
    conditions = item.get("status", {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _node_ip(node: Object) -> str:
    addresses = node.get("status", {}).get("addresses") or ()
    return next((address["address"] for address in addresses if address["type"] == "InternalIP"), "")


def lines(state: dict[str, Any]) -> list[str]:
    """The state for a person to read."""
    shown = [f"Lab in {state['dir']} (pid {state['pid']})"]
    for cluster in state["clusters"]:
        shown.append(f"{cluster['name']}  {cluster['server']}")
        if error := cluster.get("error"):
            shown.append(f"  {error}")
        else:
            nodes = ", ".join(
                f"{node['name']} {node['ip']} {'Ready' if node['ready'] else 'NotReady'}" for node in cluster["nodes"]
            )
            shown.append(f"  nodes      {nodes or 'none yet'}")
            shown.append(f"  pods       {cluster['pods']['ready']}/{cluster['pods']['total']} ready")
        running = (f"{name} {_process(process)}" for name, process in cluster["processes"].items())
        shown.append(f"  processes  {', '.join(running) or 'none yet'}")
    shown += [f"broken: {_broken(one)}" for one in state["faults"]["broken"]]
    return shown + [f"network {' - '.join(one['between'])}: {_network(one)}" for one in state["faults"]["wan"]]


def _broken(one: dict[str, Any]) -> str:
    name = "/".join(filter(None, (one["cluster"], one.get("namespace"), one.get("name"))))
    return f"{one['kind']} {name} ({one['how']})"


def _network(one: dict[str, Any]) -> str:
    """How a network is, in the words of the options that made it so."""
    if one.get("partition"):
        return "partition"
    words = [f"{name} {one[name] * 1000:g}ms" for name in ("delay", "jitter") if name in one]
    words += [f"loss {one['loss'] * 100:g}%"] if "loss" in one else []
    return ", ".join(words + ([f"rate {one['rate'] / 1e6:g}mbit"] if "rate" in one else []))


def _process(process: dict[str, Any]) -> str:
    where = f"pid {process['pid']}" if process["pid"] else "down"
    if not process["restarts"]:
        return where
    return f"{where} (ended {process['restarts']} times, last by {process['lastExit']})"
