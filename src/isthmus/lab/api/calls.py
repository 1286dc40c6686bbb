"""One request to one resource, and what serves it."""

from dataclasses import dataclass

import msgspec
from aiohttp import web

from isthmus.lab.api import requests, status, watch
from isthmus.lab.api.bodies import Options, Target
from isthmus.lab.api.contracts import Authorizer, Object, ResourceInfo, Reviews, Streaming, User
from isthmus.lab.api.crd import Definitions
from isthmus.lab.api.objects import Objects
from isthmus.lab.api.registry import Registry
from isthmus.lab.api.store import Store


@dataclass(frozen=True)
class Parts:
    """What the handlers work with."""

    store: Store
    registry: Registry
    definitions: Definitions
    objects: Objects
    watches: watch.Watches
    authorizer: Authorizer
    reviews: Reviews
    streaming: Streaming


@dataclass(frozen=True)
class Call:
    """One request to one resource, authenticated and authorized."""

    request: web.Request
    where: requests.Address
    info: ResourceInfo
    user: User

    @property
    def target(self) -> Target:
        return Target(self.info, self.where.namespace, self.where.name, self.where.subresource)

    def options(self, *, needs_manager: bool = False) -> Options:
        query = self.request.query
        manager = query.get("fieldManager", "")
        if needs_manager and not manager:
            missing = "Required value: is required for apply patch"
            raise status.invalid_options("PatchOptions", [("fieldManager", missing)])
        agent = self.request.headers.get("User-Agent", "unknown").partition("/")[0]
        return Options(
            user=self.user,
            manager=(manager or agent or "unknown")[:128],
            dry_run=requests.dry_run(query),
            force=requests.truth(query, "force"),
            unknown=requests.strictness(query),
        )


def reply(obj: Object, code: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(obj), status=code, content_type="application/json")
