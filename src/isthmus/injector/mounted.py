"""What the injector's mounted files hold: how the webhook proves itself, and the trust anchors that go into pods."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from isthmus.injector import certificate
from isthmus.injector.config import Config
from isthmus.kube import files, pki, tls

log: Final = logging.getLogger(__name__)

RENEWAL_CHECK_SECONDS: Final = 60.0


class Mounted:
    """`usable` is set when both are there and can be used; `waiting_for` says what is not."""

    def __init__(
        self,
        *,
        tls_dir: Path,
        trust_anchors_file: Path,
        configuration: Callable[[str], Config],
        now: Callable[[], datetime],
    ) -> None:
        """`configuration` says what goes into pods with these trust anchors."""
        self._tls_dir = tls_dir
        self._trust_anchors_file = trust_anchors_file
        self._configuration = configuration
        self._now = now
        self._pair = pki.KeyPair("", "")
        self._renew_at: datetime | None = None
        self.tls: ssl.SSLContext | None = None
        self.config: Config | None = None
        self.usable = asyncio.Event()

    @property
    def waiting_for(self) -> str | None:
        if self.tls is None:
            return "no usable certificate for the webhook; see the log"
        return "no usable trust anchors; see the log" if self.config is None else None

    def current(self) -> Config:
        assert self.config is not None
        return self.config

    async def follow_certificate(self, *, every: float = files.CHECK_SECONDS) -> None:
        folder = self._tls_dir
        async for contents in files.changes(folder / "tls.crt", folder / "tls.key", every=every):
            try:
                self._pair = pki.KeyPair(contents["tls.crt"], contents["tls.key"])
            except KeyError as missing:
                log.error("the webhook has no certificate: %s is not in %s", missing, folder)
            else:
                self._present()
            self._check()

    async def renew_certificate(self, *, every: float = RENEWAL_CHECK_SECONDS) -> None:
        """Renewal goes by the wall clock, which may jump."""
        while True:
            await asyncio.sleep(every)
            if self._renew_at is not None and self._now() >= self._renew_at:
                self._present()

    def _present(self) -> None:
        try:
            pair, renew_at = certificate.shown(self._pair, self._now())
            if self.tls is None:
                self.tls = tls.server_context(pair)
            else:
                tls.present(self.tls, pair)
        except (pki.CertificateError, ssl.SSLError, OSError) as error:
            log.error("the webhook's certificate in %s cannot be used: %s", self._tls_dir, error)
        else:
            self._renew_at = renew_at
            if renew_at is not None:
                log.info("the webhook has a new certificate", extra={"renew_at": renew_at.isoformat()})

    async def follow_trust_anchors(self, *, every: float = files.CHECK_SECONDS) -> None:
        file = self._trust_anchors_file
        async for contents in files.changes(file, every=every):
            anchors = contents.get(file.name, "")
            try:
                pki.load_certificates(anchors)
            except pki.CertificateError as error:
                log.error("the trust anchors in %s cannot be used: %s", file, error)
                continue
            self.config = self._configuration(anchors)
            self._check()

    def _check(self) -> None:
        if self.waiting_for is None:
            self.usable.set()
