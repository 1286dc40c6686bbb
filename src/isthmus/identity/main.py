"""The identity process: reads its mounted issuer and roots, serves `/certify`, follows rotations."""

import argparse
import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from isthmus import names
from isthmus.identity.authority import Authority
from isthmus.identity.ca import Validity
from isthmus.identity.server import Certifier, Metrics
from isthmus.identity.tokens import Reviewer, TokenReviewer
from isthmus.kube import admin, client, durations, files, pki, process
from isthmus.kube.process import until_terminated
from isthmus.kube.serving import serving

log: Final = logging.getLogger(__name__)

RENEWAL_CHECK_SECONDS: Final = 30.0
KEEPALIVE_SECONDS: Final = 30.0


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM; the exit code."""
    flags = parser().parse_args(arguments)
    return process.run(_run(flags), log_level=flags.log_level)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="identity", description=__doc__)
    made.add_argument("--trust-domain", required=True)
    made.add_argument("--cluster-domain", default="cluster.local")
    made.add_argument("--namespace", default=names.CONTROL_PLANE_NAMESPACE)
    made.add_argument("--issuance-lifetime", type=durations.parse, default="24h")
    made.add_argument("--clock-skew-allowance", type=durations.parse, default="20s")
    made.add_argument("--issuer-dir", type=Path, default=Path("/var/run/linkerd/identity/issuer"))
    made.add_argument("--trust-roots-dir", type=Path, default=Path("/var/run/linkerd/identity/trust-roots"))
    made.add_argument("--listen", default=f"0.0.0.0:{names.IDENTITY_PORT}")
    made.add_argument("--admin", default=f"0.0.0.0:{names.CONTROLLER_ADMIN_PORT}")
    made.add_argument("--log-level", default="info")
    return made


async def _run(flags: argparse.Namespace) -> None:
    authority = Authority(
        trust_domain=flags.trust_domain,
        cluster_domain=flags.cluster_domain,
        namespace=flags.namespace,
        validity=Validity(lifetime=flags.issuance_lifetime, clock_skew=flags.clock_skew_allowance),
    )
    usable = asyncio.Event()
    async with client.connect() as kube:
        await until_terminated(
            follow(authority, usable, issuer=flags.issuer_dir, roots=flags.trust_roots_dir),
            renew(authority),
            serve(authority, usable, TokenReviewer(kube), listen=flags.listen),
            _serve_admin(authority, flags.admin),
        )


async def follow(
    authority: Authority, usable: asyncio.Event, *, issuer: Path, roots: Path, every: float = files.CHECK_SECONDS
) -> None:
    """Adopt the mounted issuer and roots, now and whenever they change; what is not valid yet is so some time later."""
    watched = (issuer / "tls.crt", issuer / "tls.key", roots / names.TRUST_ROOTS_KEY)
    adopted: files.Contents | None = None
    problem = ""
    while True:
        contents = files.read(*watched)
        if contents != adopted:
            before, problem = problem, _adopt(authority, contents)
            if not problem:
                adopted = contents
                log.info("using the issuer", extra={"expires_at": authority.issuer.not_after.isoformat()})
                usable.set()
            elif problem != before:
                kept = "; the previous issuer stays in use" if authority.ready else ""
                log.error("the issuer cannot be used: %s%s", problem, kept)
        await asyncio.sleep(every)


def _adopt(authority: Authority, contents: files.Contents) -> str:
    """Why the authority cannot use what the files hold, "" if it can."""
    try:
        authority.adopt(contents)
    except pki.CertificateError as error:
        return str(error)
    return ""


async def renew(authority: Authority) -> None:
    """Keep the server's own certificate fresh."""
    while True:
        await asyncio.sleep(RENEWAL_CHECK_SECONDS)
        authority.renew_serving_certificate()


async def serve(
    authority: Authority,
    usable: asyncio.Event,
    reviewer: Reviewer,
    *,
    listen: str,
    registry: CollectorRegistry = REGISTRY,
    bound: "asyncio.Future[int] | None" = None,
) -> None:
    """Serve `/certify` from the moment there is an issuer; `bound` learns the port."""
    await usable.wait()
    application = Certifier(authority, reviewer, Metrics(registry)).application()
    async with serving(application, listen, tls=authority.tls, keepalive_seconds=KEEPALIVE_SECONDS) as port:
        if bound is not None:
            bound.set_result(port)
        await asyncio.Event().wait()


async def _serve_admin(authority: Authority, address: str) -> None:
    def ready() -> str | None:
        return None if authority.ready else "no usable issuer; see the log"

    async with admin.serve(ready, address=address):
        await asyncio.Event().wait()
