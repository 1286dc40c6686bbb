"""The metrics API's pages for the dashboard: the cluster's picture, painted once for each look, and one workload."""

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web
from msgspec.structs import replace

from isthmus import names
from isthmus.kube.client import Client
from isthmus.kube.informers import Informers
from isthmus.kube.watch import Informer
from isthmus.resources.core import CONFIG_MAPS, NAMESPACES, SERVICES, ConfigMap, Namespace, Service
from isthmus.viz import api
from isthmus.viz.observe import Observer
from isthmus.viz.scrape import Round, Scraper
from isthmus.viz.server import Page
from isthmus.viz.stat import View
from isthmus.viz.web_cluster import Objects, paint
from isthmus.viz.web_detail import detail
from isthmus.viz.web_links import LINKS, LinkObject
from isthmus.viz.web_picture import DETAIL_PATH, PICTURE_PATH, DetailQuestion, Unchanged

SEEN: Final = "seen"
LEAST_APART: Final = 0.5
"""Seconds between two pictures, however often objects change."""
log = logging.getLogger(__name__)


class Pages:
    """What the dashboards of this cluster and of linking ones ask, and the objects that only they need."""

    def __init__(
        self,
        client: Client,
        observer: Observer,
        scraper: Scraper,
        *,
        clock: Callable[[], float] = time.time,
        name: str = "",
    ) -> None:
        self._observer = observer
        self._scraper = scraper
        self._clock = clock
        self._name = name
        self._services: Informer[Service] = Informer(client, SERVICES)
        self._namespaces: Informer[Namespace] = Informer(client, NAMESPACES)
        self._links: Informer[LinkObject] = Informer(client, LINKS, optional=True)
        self._roots: Informer[ConfigMap] = Informer(
            client,
            CONFIG_MAPS,
            namespace=names.CONTROL_PLANE_NAMESPACE,
            fields=f"metadata.name={names.TRUST_ROOTS_CONFIG_MAP}",
        )
        self.informers = Informers(self._services, self._namespaces, self._links, self._roots)
        self._changes = 0
        for informer in (self._services, self._links, self._roots):
            informer.on_change(self._changed)
        observer.on_change(self._changed)
        self._painted: tuple[float, str, bytes] = (0.0, "", b"")
        """When, what of, and the picture."""

    def handlers(self, view: Callable[[], View]) -> Mapping[str, Page]:
        """Path -> page."""

        async def picture(request: web.Request) -> web.Response:
            return self._answer_picture(request, view)

        async def workload(request: web.Request) -> web.Response:
            return self._answer_detail(request, view)

        return {PICTURE_PATH: picture, DETAIL_PATH: workload}

    def _changed(self, *_: object) -> None:
        self._changes += 1

    def _answer_picture(self, request: web.Request, view: Callable[[], View]) -> web.Response:
        self._scraper.watch()
        now = self._clock()
        at = self._scraper.rounds[1].began if self._scraper.rounds else 0.0
        painted, version, body = self._painted
        current = f"{at:.3f}-{self._changes}"
        known = request.query.get(SEEN) == version
        if (version != current or not known) and now - painted >= LEAST_APART:
            shown = paint(self._counted(view()), self._objects(), version=current, at=at)
            version, body = current, msgspec.json.encode(replace(shown, now=now))
            self._painted = now, version, body
            known = False
        if known:
            body = msgspec.json.encode(Unchanged(unchanged=version, now=now, at=at))
        return web.Response(body=body, content_type="application/json")

    def _answer_detail(self, request: web.Request, view: Callable[[], View]) -> web.Response:
        try:
            asked = msgspec.json.decode(request.query.get(api.QUERY, ""), type=DetailQuestion)
            problems = {each.target.uid: each.error for each in self._scraper.known if each.error}
            pods = list(self._observer.pods())
            answer: object = detail(
                self._counted(view()),
                asked,
                pods=pods,
                problems=problems,
                domain=self.trust_domain,
                services=self._services.store.values(),
                namespace=self._annotations(asked.namespace),
            )
        except ValueError as error:
            answer = api.Refusal(refused=str(error))
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _annotations(self, namespace: str) -> Mapping[str, str]:
        found = self._namespaces.get(namespace)
        return found.metadata.annotations if found else {}

    def _counted(self, view: View) -> View:
        """The time between the ends of the first round and of the last: that of which anything is counted."""
        first, last = self._scraper.rounds or (Round(0.0, 0.0), Round(0.0, 0.0))
        return dataclasses.replace(view, began=first.ended, now=last.ended)

    def _objects(self) -> Objects:
        return Objects(
            pods=list(self._observer.pods()),
            services=self._services.store.values(),
            links=self._links.store.values(),
            trust_domain=self.trust_domain,
            roots=self._trust_root(names.TRUST_ROOTS_KEY),
            name=self._name,
        )

    @property
    def trust_domain(self) -> str:
        """This cluster's; "" while it is not known."""
        return self._trust_root(names.TRUST_DOMAIN_KEY)

    def _trust_root(self, key: str) -> str:
        found = self._roots.get(names.TRUST_ROOTS_CONFIG_MAP, names.CONTROL_PLANE_NAMESPACE)
        return found.data.get(key, "") if found else ""
