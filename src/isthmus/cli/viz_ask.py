"""Questions to the metrics API of a cluster, through its API server, with every failure told as one sentence."""

from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import click
import msgspec

from isthmus import names
from isthmus.cli.control_plane import PODS
from isthmus.cli.options import Cluster, fail
from isthmus.kube import durations, errors
from isthmus.kube.kinds import Kind, Object, plain
from isthmus.viz import api
from isthmus.viz.kinds import Resource, UnknownResourceError, known, parse

if TYPE_CHECKING:
    from isthmus.kube.blocking import SyncClient

A = TypeVar("A")
SELECTOR: Final = f"component={names.VIZ_METRICS_API}"
INSTALL: Final = "Run `linkerd viz install | kubectl apply -f -`."


def ask(client: "SyncClient", cluster: Cluster, path: str, question: Any, answer: type[A]) -> A:
    """The answer of a ready pod of the metrics API."""
    query = quote(msgspec.json.encode(question).decode())
    body = raw(client, cluster, f"{path}?{api.QUERY}={query}")
    try:
        refusal = msgspec.json.decode(body, type=api.Refusal)
        if refusal.refused:
            fail(refusal.refused)
        return msgspec.json.decode(body, type=answer)
    except msgspec.DecodeError:
        fail(f"The metrics API of {cluster.label} sent an answer that cannot be read.", "Run `linkerd viz check`.")


def raw(client: "SyncClient", cluster: Cluster, target: str) -> bytes:
    pod = _ready_pod(client, cluster)
    path = f"/api/v1/namespaces/{names.VIZ_NAMESPACE}/pods/{pod}:{api.PORT}/proxy{target}"
    try:
        return client.raw("GET", path)
    except errors.Forbidden:
        fail(f"You may not reach pods/proxy in namespace {names.VIZ_NAMESPACE}.", "Ask for that permission.")
    except errors.ApiError as error:
        fail(f"The metrics API of {cluster.label} does not answer: {error}", "Run `linkerd viz check`.")


def _ready_pod(client: "SyncClient", cluster: Cluster) -> str:
    pods = client.list(PODS, names.VIZ_NAMESPACE, labels=SELECTOR)
    if not pods:
        fail(f"There is no pod of the metrics API in {cluster.label}.", INSTALL)
    ready = [str(pod["metadata"]["name"]) for pod in pods if _is_ready(pod)]
    if not ready:
        fail(f"No pod of the metrics API is ready in {cluster.label}.", "Run `linkerd viz check`.")
    return ready[0]


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def window(_: click.Context, __: click.Parameter, value: str) -> float:
    """`--time-window`, in seconds."""
    try:
        seconds = durations.parse(value).total_seconds()
    except ValueError:
        raise click.BadParameter(f'"{value}" is not a duration; write it like 1m or 30s') from None
    try:
        api.require_window(seconds)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return seconds


def kind_of(resource: Resource) -> Kind[Object] | None:
    """How the API server addresses it; None for what is no object there."""
    kind = known(resource.kind)
    return plain(*kind.api, namespaced=kind.namespaced) if kind.api else None


def require_existing(client: "SyncClient", resource: Resource, namespace: str) -> None:
    """Ends the command where a resource that was named is not there."""
    kind = kind_of(resource)
    if kind is None or not resource.name:
        return
    try:
        client.get(kind, resource.name, namespace if kind.namespaced else None)
    except errors.NotFound:
        where = f" in namespace {namespace}" if kind.namespaced else ""
        fail(f"There is no {known(resource.kind).name} {resource.name}{where}.")


def understood(words: tuple[str, ...]) -> tuple[Resource, ...]:
    """The resources that the arguments name; ends the command where they name none."""
    try:
        return parse(words)
    except UnknownResourceError as error:
        fail(str(error))


def complain(problems: tuple[str, ...], *, asked: float, covered: float) -> None:
    """On stderr, what makes the numbers less than they look."""
    for problem in problems:
        click.echo(problem, err=True)
    if covered < asked:
        click.echo(
            f"Numbers are kept since {covered:.0f} s ago: rates are over these, not over {asked:.0f} s.", err=True
        )


def kind_of_manifest(item: Object) -> Kind[Object]:
    """How the API server addresses an object that `install` made."""
    kind = item["kind"]
    plural = f"{kind.lower()}s"
    return plain(item["apiVersion"], kind, plural, namespaced="namespace" in item["metadata"])
