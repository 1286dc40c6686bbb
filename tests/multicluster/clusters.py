"""Two clusters in this process: real API servers with the product's own manifests and the permissions they grant."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import yaml
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from tests.lab.api.open_parts import NoStreaming, OpenAdmission

from isthmus import names
from isthmus.install import multicluster
from isthmus.install.multicluster import MulticlusterValues
from isthmus.kube import pki
from isthmus.kube.client import Client, connect
from isthmus.kube.kinds import EVENTS, Kind, Object, plain
from isthmus.kube.meta import Key
from isthmus.kube.watch import Informer
from isthmus.lab.api.contracts import SUPERUSER, ApiError, User
from isthmus.lab.api.rbac import Rbac
from isthmus.lab.api.reviews import ClusterReviews
from isthmus.lab.api.server import ApiServer
from isthmus.lab.api.store import Store
from isthmus.lab.api.tokens import InvalidTokenError, Tokens
from isthmus.multicluster.controller import Controller
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.objects import FEDERATED_TRUST_DOMAINS, LINKS
from isthmus.multicluster.settings import Settings

from .values import link_object

NAMESPACE = names.MULTICLUSTER_NAMESPACE
SERVICES = plain("v1", "Service", "services")
SLICES = plain("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
SECRETS = plain("v1", "Secret", "secrets")
NAMESPACES = plain("v1", "Namespace", "namespaces", namespaced=False)
ROLES = plain("rbac.authorization.k8s.io/v1", "Role", "roles")
CLUSTER_ROLES = plain("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CONFIG_MAPS = plain("v1", "ConfigMap", "configmaps")
CONTROLLER_ROLE = f"linkerd-{names.MULTICLUSTER_CONTROLLER}"
WATCHED = (SERVICES, SLICES, SECRETS, LINKS, FEDERATED_TRUST_DOMAINS, EVENTS)
KINDS: dict[tuple[str, str], Kind[Object]] = {}
"""How kinds are addressed, asked once for all tests."""
SECONDS = 10.0


class TokensAreAccounts:
    """A bearer token names its service account, or is one that the cluster made; none is the administrator."""

    def __init__(self, store: Store) -> None:
        self.revoked: set[str] = set()
        self.made = Tokens(ec.generate_private_key(ec.SECP256R1()))
        self._store = store

    async def authenticate(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return SUPERUSER
        if token in self.revoked:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        if token.count(".") == 2:
            return self._bound(token)
        namespace, _, account = token.partition(":")
        if not account:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(name=f"system:serviceaccount:{namespace}:{account}", groups=groups)

    def _bound(self, token: str) -> User:
        try:
            return self.made.verify(token, store=self._store).user
        except InvalidTokenError as error:
            raise ApiError(401, "Unauthorized", str(error)) from error


class Cluster:
    """One API server, an administrator's client, and caches of everything that tests look at."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.store = Store()
        self.tokens = TokensAreAccounts(self.store)
        self.trust_domain = f"{name}.example"
        self.url = ""
        self.client: Client
        self._caches: dict[str, Informer[Object]] = {}
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cluster"]:
        rbac = Rbac(self.store)
        reviews = ClusterReviews(self.tokens.made, rbac, self.store)
        server = ApiServer(
            store=self.store,
            authenticator=self.tokens,
            authorizer=rbac,
            admission=OpenAdmission(),
            reviews=reviews,
            streaming=NoStreaming(),
        )
        async with server:
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setblocking(False)
            self.url = f"http://127.0.0.1:{await server.listen(listener)}"
            async with connect(self.kubeconfig("")) as self.client:
                await self._install()
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._follow(kind)) for kind in WATCHED]
                    await self.until(lambda: len(self._caches) == len(WATCHED))
                    yield self
                    for task in tasks:
                        task.cancel()

    async def _install(self) -> None:
        await self.client.create(NAMESPACES, {"metadata": {"name": names.CONTROL_PLANE_NAMESPACE}})
        for item in multicluster.manifests(MulticlusterValues(trust_domain=self.trust_domain)):
            await self.create(item)
        metadata = {"name": "kube-root-ca.crt", "namespace": NAMESPACE}
        await self.client.create(CONFIG_MAPS, {"metadata": metadata, "data": {"ca.crt": "CA"}})
        await self.publish_roots(pki.make_root(self.trust_domain).cert_pem)

    async def create(self, item: Object) -> None:
        """An object as `kubectl apply` would make it."""
        known = (item["apiVersion"], item["kind"])
        if known not in KINDS:
            KINDS[known] = await self.client.discover(*known)
        await self.client.create(KINDS[known], item)

    async def publish_roots(self, bundle: str) -> None:
        metadata = {"name": names.TRUST_ROOTS_CONFIG_MAP, "namespace": names.CONTROL_PLANE_NAMESPACE}
        data = {names.TRUST_ROOTS_KEY: bundle, names.TRUST_DOMAIN_KEY: self.trust_domain}
        self.roots = bundle
        await self.client.apply(CONFIG_MAPS, {"metadata": metadata, "data": data})

    def kubeconfig(self, token: str, url: str = "") -> bytes:
        return yaml.safe_dump(
            {
                "clusters": [{"name": self.name, "cluster": {"server": url or self.url}}],
                "users": [{"name": "user", "user": {"token": token} if token else {}}],
                "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": "user"}}],
                "current-context": self.name,
            }
        ).encode()

    # --- looking -------------------------------------------------------------------------------------------------
    async def _follow(self, kind: Kind[Object]) -> None:
        informer = Informer(self.client, kind)

        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        async with asyncio.TaskGroup() as group:
            informer.on_change(lambda *_: void(group.create_task(tell())))
            group.create_task(informer.run())
            await informer.synced.wait()
            self._caches[kind.kind] = informer
            await tell()

    async def until(self, holds: Callable[[], Any]) -> Any:
        """The value of `holds` once it is true; looks again whenever anything changes."""
        try:
            async with asyncio.timeout(SECONDS), self._changed:
                return await self._changed.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"never came true; links: {self.all('Link')}, services: {self.names()}") from None

    def all(self, kind: str) -> Mapping[Key, Object]:
        return self._caches[kind].store

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        return self.all(kind).get((namespace, name))

    def names(self) -> list[str]:
        return sorted(name for _, name in self.all("Service"))

    def service(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Labels and annotations in one, for both have names of their own; empty without such a Service."""
        metadata = (self.get("Service", name, namespace) or {"metadata": {}})["metadata"]
        return {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}

    def members(self, name: str, namespace: str = "default") -> tuple[str, str]:
        """Members of a federated Service: in this cluster, and in others."""
        found = self.service(name, namespace)
        return found.get(names.LOCAL_DISCOVERY_ANNOTATION, ""), found.get(names.REMOTE_DISCOVERY, "")

    def ports(self, name: str, namespace: str = "default") -> list[str]:
        return [
            port["name"] for port in (self.get("Service", name, namespace) or {"spec": {"ports": []}})["spec"]["ports"]
        ]

    def hosts(self, mirror: str, namespace: str = "default") -> dict[str, tuple[str, bool]]:
        """Names that resolve below a headless Service: address, and whether it is ready."""
        item = self.get("EndpointSlice", mirror, namespace) or {}
        found = [end for end in item.get("endpoints") or () if end.get("hostname")]
        return {end["hostname"]: (end["addresses"][0], end["conditions"]["ready"]) for end in found}

    def cluster_ip(self, name: str, namespace: str = "default") -> str:
        return str((self.get("Service", name, namespace) or {"spec": {}})["spec"].get("clusterIP") or "")

    def addresses(self, mirror: str, namespace: str = "default") -> list[tuple[str, bool]] | None:
        item = self.get("EndpointSlice", mirror, namespace)
        if item is None:
            return None
        return [(end["addresses"][0], end["conditions"]["ready"]) for end in item.get("endpoints") or ()]

    def link_status(self, name: str = "linkerd-east") -> dict[str, Any]:
        return (self.get("Link", name, NAMESPACE) or {}).get("status") or {}

    def registration(self, cluster: str) -> dict[str, Any]:
        """What another cluster registered here."""
        item = self.get("FederatedTrustDomain", f"{cluster}.example", NAMESPACE) or {}
        return {"spec": {}, "status": {"reason": "", "bundle": ""}} | item

    def condition(self, kind: str, link: str = "linkerd-east") -> str:
        """The reason of a Link's condition, with its status."""
        conditions = self.link_status(link).get("conditions") or ()
        return next((f"{item['status']} {item['reason']}" for item in conditions if item["type"] == kind), "")

    def message(self, kind: str, link: str = "linkerd-east") -> str:
        conditions = self.link_status(link).get("conditions") or ()
        return next((item["message"] for item in conditions if item["type"] == kind), "")

    def outcome(self, remote: str, link: str = "linkerd-east", *, of: str = "mirrorServices") -> str:
        for item in self.link_status(link).get(of) or ():
            if item["remoteRef"]["name"] == remote:
                return str(item["conditions"][0]["reason"])
        return ""

    def events(self, reason: str) -> list[str]:
        return [item["message"] for item in self.all("Event").values() if item["reason"] == reason]

    # --- doing ---------------------------------------------------------------------------------------------------
    async def export(self, name: str = "backend", namespace: str = "default", *, ready: bool = True) -> None:
        annotations = {names.EXPORTED: "true"}
        metadata = {"name": name, "namespace": namespace, "annotations": annotations, "labels": {"app": name}}
        ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
        await self.client.create(SERVICES, {"metadata": metadata, "spec": {"selector": {"app": name}, "ports": ports}})
        await self.scale(name, namespace, ready=ready)

    async def serve(
        self, name: str, namespace: str = "default", *, headless: bool = False, port: str = "http", **metadata: Any
    ) -> None:
        """A Service with these labels or annotations."""
        spec = {"ports": [{"name": port, "port": 8080, "protocol": "TCP"}]} | (
            {"clusterIP": "None"} if headless else {}
        )
        await self.client.create(
            SERVICES, {"metadata": {"name": name, "namespace": namespace, **metadata}, "spec": spec}
        )

    async def label(self, name: str, namespace: str = "default", **labels: str | None) -> None:
        """Labels by their part behind the slash; None takes one away."""
        changed = {f"{names.MIRROR_PREFIX}/{label}": text for label, text in labels.items()}
        await self.client.patch(SERVICES, name, {"metadata": {"labels": changed}}, namespace)

    async def run_pods(self, name: str, namespace: str = "default", **hosts: bool) -> None:
        """The pods behind a headless Service by hostname, each ready or not; `_` stands for a dash."""
        endpoints = [
            {"addresses": [f"10.244.0.{number}"], "conditions": {"ready": ready}, "hostname": host.replace("_", "-")}
            for number, (host, ready) in enumerate(hosts.items(), start=10)
        ]
        labels = {names.SERVICE_NAME_LABEL: name}
        metadata = {"name": f"{name}-abcde", "namespace": namespace, "labels": labels}
        await self.client.apply(
            SLICES, {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": []}
        )

    async def allow_namespace_creation(self) -> None:
        """What `multicluster install` grants where namespaces are to be made."""
        await self.grant(self.granted(enable_namespace_creation=True))

    def granted(self, **values: Any) -> list[dict[str, Any]]:
        """The rules of the controller's cluster role."""
        for item in multicluster.manifests(MulticlusterValues(trust_domain=self.trust_domain, **values)):
            if (item["kind"], item["metadata"]["name"]) == ("ClusterRole", CONTROLLER_ROLE):
                return list(item["rules"])
        raise AssertionError(f"{CONTROLLER_ROLE} is not among the manifests")

    async def grant(self, rules: list[dict[str, Any]]) -> None:
        await self.client.patch(CLUSTER_ROLES, CONTROLLER_ROLE, {"rules": rules})

    async def scale(self, name: str = "backend", namespace: str = "default", *, ready: bool) -> None:
        labels = {names.SERVICE_NAME_LABEL: name}
        endpoint = {"addresses": ["10.244.0.9"], "conditions": {"ready": True}}
        await self.client.apply(
            SLICES,
            {
                "metadata": {"name": f"{name}-abcde", "namespace": namespace, "labels": labels},
                "addressType": "IPv4",
                "endpoints": [endpoint] if ready else [],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            },
        )

    async def give_credentials(self, target: str, kubeconfig: bytes) -> None:
        metadata = {"name": f"cluster-credentials-{target}", "namespace": NAMESPACE}
        data = {names.CREDENTIALS_KEY: base64.b64encode(kubeconfig).decode()}
        await self.client.apply(SECRETS, {"metadata": metadata, "type": names.CREDENTIALS_SECRET_TYPE, "data": data})

    async def link(self, target: "Cluster", *, name: str = "", credentials: bool = True, **spec: Any) -> None:
        if credentials:
            await self.give_credentials(target.name, target.kubeconfig(target.remote_access))
        fast = {"probeSpec": {"period": "50ms", "timeout": "1s", "failureThreshold": "2"}}
        item = link_object(target.name, name=name, **(fast | spec))
        del item["metadata"]["creationTimestamp"]
        await self.client.create(LINKS, item)

    async def unlink(self, name: str = "linkerd-east") -> None:
        await self.client.delete(LINKS, name, NAMESPACE)

    @property
    def remote_access(self) -> str:
        return f"{NAMESPACE}:{names.REMOTE_ACCESS_ACCOUNT}"

    @asynccontextmanager
    async def controller(
        self, probe_url: str = "http://127.0.0.1:9/ready", settings: Settings | None = None
    ) -> AsyncIterator[Controller]:
        """The product's controller, with the permissions that its manifests give it."""
        token = f"{NAMESPACE}:{names.MULTICLUSTER_CONTROLLER}"
        async with connect(self.kubeconfig(token)) as client, asyncio.TaskGroup() as group:
            controller = Controller(
                client,
                namespace=NAMESPACE,
                linkerd_namespace=names.CONTROL_PLANE_NAMESPACE,
                probe_url=lambda link, port: probe_url,
                metrics=Metrics(CollectorRegistry()),
                settings=settings,
            )
            tasks = [group.create_task(controller.follow()), group.create_task(controller.lead())]
            yield controller
            for task in tasks:
                task.cancel()


def void(_: object) -> None:
    return None


class Gateway:
    """Stands where the probe Service leads to; answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=self.status)

        app = web.Application()
        app.router.add_get("/ready", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/ready"
        try:
            yield self
        finally:
            await runner.cleanup()
