"""Links two clusters to each other: an account for each in the other, credentials and Link, until both are ready."""

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus import names
from isthmus.cli.connection import connected
from isthmus.cli.multicluster_objects import Choice, Target, objects
from isthmus.cli.multicluster_target import INSTALL, Place, inspect, token
from isthmus.cli.options import Cluster, fail
from isthmus.install.remote_access import remote_access
from isthmus.install.render import render
from isthmus.kube import errors
from isthmus.kube.kinds import Kind, Object, plain
from isthmus.multicluster import tokens
from isthmus.multicluster.objects import LINKS

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

NAMESPACES: Final = plain("v1", "Namespace", "namespaces", namespaced=False)
ACCOUNT_PREFIX: Final = names.REMOTE_ACCESS_ACCOUNT.removesuffix("default")
CLUSTER_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
LATER: Final = "made-when-it-is-applied"
"""Stands for the token in what a dry run prints."""
PAUSE: Final = 0.2


@dataclass(frozen=True, slots=True)
class End:
    """One of the two clusters."""

    cluster: Cluster
    client: "SyncClient"
    target: Target
    """It, as the other one must know it."""
    links: tuple[Object, ...]

    @property
    def name(self) -> str:
        return self.target.name

    def link_name(self, other: "End") -> str:
        """That of the Link which leads to the other cluster already, or is to be made."""
        found = (item for item in self.links if item["spec"].get("targetClusterName") == other.name)
        existing = min(found, key=lambda item: str(item["metadata"].get("creationTimestamp")), default=None)
        return str(existing["metadata"]["name"]) if existing else f"{names.LINK_NAME_PREFIX}{other.name}"


@dataclass(frozen=True, slots=True)
class Made:
    """A Link that was applied, and how its credentials are told from those before."""

    source: End
    target: End
    expiry: str

    @property
    def words(self) -> str:
        return f"{self.source.name} -> {self.target.name}"

    def status(self) -> Object:
        name = self.source.link_name(self.target)
        found = self.source.client.get(LINKS, name, self.target.target.namespace)
        return found.get("status") or {}


def link_both(
    here: tuple[Cluster, Place],
    there: tuple[Cluster, Place],
    choice: Choice,
    *,
    life: int,
    wait: float,
    output: Any,
) -> None:
    """Apply it all in both clusters and wait; with an `output` format, print it instead."""
    with connected(here[0]) as one, connected(there[0]) as other:
        _refuse_same(one, other)
        ends = [_end(one, *here, flag="--cluster-name"), _end(other, *there, flag="--to-cluster-name")]
        if ends[0].name == ends[1].name:
            fail(f'Both clusters would be called "{ends[0].name}".', "Use --cluster-name and --to-cluster-name.")
        ends = [_with_account(end, by) for end, by in (ends, reversed(ends))]
        ways = [(ends[0], ends[1]), (ends[1], ends[0])]
        if output:
            click.echo(_described(ways, choice, output), nl=False)
            return
        made = [_link(source, target, choice, life=life) for source, target in ways]
        if wait > 0:
            _until_ready(made, wait)


# --- the two clusters ---------------------------------------------------------------------------------------------
def _refuse_same(one: "SyncClient", other: "SyncClient") -> None:
    if one.url == other.url or _identity(one) == _identity(other):
        fail(
            f'The contexts "{one.context}" and "{other.context}" lead to the same cluster.',
            "`kubectl config get-contexts` lists them.",
        )


def _identity(client: "SyncClient") -> str:
    return str(client.get(NAMESPACES, "kube-system")["metadata"]["uid"])


def _end(client: "SyncClient", cluster: Cluster, place: Place, *, flag: str) -> End:
    name = place.name or client.context
    if not CLUSTER_NAME.fullmatch(name):
        fail(
            f'The context is called "{name}", which cannot be part of the name of a Service.',
            f"Give the cluster a name of up to 52 lower-case letters, digits and dashes with {flag}.",
        )
    known = replace(cluster, context=cluster.context or client.context)
    target = inspect(client, known, replace(place, name=name))
    try:
        found = tuple(client.list(LINKS, place.namespace))
    except errors.NotFound:
        fail(f"The multicluster extension is not installed in {known.label}.", INSTALL)
    return End(known, client, target, found)


def _with_account(end: End, by: End) -> End:
    account = end.target.account
    own = account if account != names.REMOTE_ACCESS_ACCOUNT else f"{ACCOUNT_PREFIX}{by.name}"
    return replace(end, target=replace(end.target, account=own))


# --- what is applied ----------------------------------------------------------------------------------------------
def _account(target: End, source: End) -> list[Object]:
    """What the linking cluster may do in the other: register its own trust domain and no other."""
    return remote_access(target.target.account, namespace=target.target.namespace, registers=source.target.trust_domain)


def _link(source: End, target: End, choice: Choice, *, life: int) -> Made:
    _apply(target.client, _account(target, source))
    account = f"{target.target.namespace}/{target.target.account}"
    click.echo(f"{target.name}: {source.name} has the account {account}")
    made = token(target.client, target.cluster, target.target.account, target.target.namespace, life=life)
    wanted = objects(replace(target.target, token=made), choice, link_name=source.link_name(target))
    _apply(source.client, wanted)
    found = tokens.parse(made)
    until = f", credentials until {found.expiry}, renewed before" if found else ""
    click.echo(f"{source.name}: Link {wanted[1]['metadata']['name']} leads to {target.name}{until}")
    return Made(source, target, found.expiry if found else "")


def _apply(client: "SyncClient", wanted: Iterable[Object]) -> None:
    kinds: dict[tuple[str, str], Kind[Object]] = {}
    for item in wanted:
        known = (item["apiVersion"], item["kind"])
        kind = kinds.get(known) or kinds.setdefault(known, client.discover(*known))
        client.apply(kind, item, manager="linkerd-cli")


def _described(ways: Sequence[tuple[End, End]], choice: Choice, output: Any) -> str:
    """Everything, under the context where it goes; the credentials are made when it is applied."""
    where: dict[str, list[Object]] = {}
    for source, target in ways:
        where.setdefault(str(target.cluster.context), []).extend(_account(target, source))
        planned = objects(replace(target.target, token=LATER), choice, link_name=source.link_name(target))
        where.setdefault(str(source.cluster.context), []).extend(planned)
    if output == "json":
        lists = {context: {"apiVersion": "v1", "kind": "List", "items": items} for context, items in where.items()}
        return json.dumps(lists, indent=2) + "\n"
    return "---\n".join(f"# in context {context}\n{render(items)}" for context, items in where.items())


# --- waiting ------------------------------------------------------------------------------------------------------
def _until_ready(made: Sequence[Made], wait: float) -> None:
    began = time.monotonic()
    waiting = list(made)
    click.echo(f"waiting until {' and '.join(item.words for item in made)} are ready")
    while waiting:
        for item in list(waiting):
            status = item.status()
            if status.get("ready") == "True" and status.get("credentialsExpireAt", "") == item.expiry:
                click.echo(f"{item.words} is ready ({time.monotonic() - began:.1f} s)")
                waiting.remove(item)
        if waiting and time.monotonic() - began > wait:
            fail("\n".join(_obstacle(item, wait) for item in waiting), "`linkerd multicluster check` tells more.")
        if waiting:
            time.sleep(PAUSE)


def _obstacle(item: Made, wait: float) -> str:
    conditions = item.status().get("conditions") or []
    wrong = next((each for each in conditions if each["status"] != "True" and each["type"] != "Ready"), None)
    if wrong is None:
        why = f"the Link controller of {item.source.name} has not acted upon it; is it running?"
    else:
        why = f"{wrong['type']} is {wrong['status']} ({wrong['reason']}). {wrong.get('message', '')}"
    return f"{item.words} is not ready after {wait:g} s: {why}"
