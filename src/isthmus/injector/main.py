"""The proxy-injector process: the admission webhook, with its authority and the trust roots from mounted files."""

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import REGISTRY

from isthmus import names
from isthmus.injector.config import Config
from isthmus.injector.mounted import Mounted
from isthmus.injector.server import Webhook
from isthmus.kube import admin, client, process
from isthmus.kube.errors import NotFound
from isthmus.kube.process import until_terminated
from isthmus.kube.serving import serving
from isthmus.resources.core import NAMESPACES


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM; the exit code."""
    flags = parser().parse_args(arguments)
    return process.run(_run(flags), log_level=flags.log_level)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="proxy-injector", description=__doc__)
    made.add_argument("--trust-domain", required=True)
    made.add_argument("--cluster-domain", default="cluster.local")
    made.add_argument("--namespace", default=names.CONTROL_PLANE_NAMESPACE)
    made.add_argument("--registry", default=names.DEFAULT_REGISTRY)
    made.add_argument("--version", default=names.VERSION)
    made.add_argument("--image-pull-policy", default="IfNotPresent")
    made.add_argument("--proxy-log-level", default="warn")
    for name in ("cpu-request", "cpu-limit", "memory-request", "memory-limit"):
        made.add_argument(f"--proxy-{name}", default="", metavar="QUANTITY")
    for name in ("skip-inbound-ports", "skip-outbound-ports"):
        made.add_argument(f"--{name}", default=",".join(map(str, names.DEFAULT_SKIPPED_PORTS)), metavar="PORTS")
    made.add_argument("--tracing-collector", default="", metavar="HOST:PORT", help="where proxies send spans")
    made.add_argument("--tracing-sampling", default="", metavar="PERCENT", help="of the traces that begin at a proxy")
    made.add_argument("--tracing-cluster-name", default="", help="what spans call the cluster [its trust domain]")
    roots = Path("/var/run/linkerd/identity/trust-roots", names.TRUST_ROOTS_KEY)
    made.add_argument("--trust-anchors-file", type=Path, default=roots)
    made.add_argument("--tls-dir", type=Path, default=Path("/var/run/linkerd/tls"))
    made.add_argument("--listen", default=f"0.0.0.0:{names.INJECTOR_PORT}")
    made.add_argument("--admin", default=f"0.0.0.0:{names.CONTROLLER_ADMIN_PORT}")
    made.add_argument("--log-level", default="info")
    return made


def configuration(flags: argparse.Namespace, trust_anchors: str) -> Config:
    """What goes into pods, by this process's flags."""
    return Config(
        trust_domain=flags.trust_domain,
        trust_anchors=trust_anchors,
        cluster_domain=flags.cluster_domain,
        namespace=flags.namespace,
        registry=flags.registry,
        version=flags.version,
        image_pull_policy=flags.image_pull_policy,
        proxy_log_level=flags.proxy_log_level,
        proxy_cpu_request=flags.proxy_cpu_request,
        proxy_cpu_limit=flags.proxy_cpu_limit,
        proxy_memory_request=flags.proxy_memory_request,
        proxy_memory_limit=flags.proxy_memory_limit,
        skip_inbound_ports=flags.skip_inbound_ports,
        skip_outbound_ports=flags.skip_outbound_ports,
        tracing_collector=flags.tracing_collector,
        tracing_sampling=flags.tracing_sampling,
        tracing_cluster_name=flags.tracing_cluster_name,
    )


def mounted_by(flags: argparse.Namespace, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Mounted:
    return Mounted(
        tls_dir=flags.tls_dir,
        trust_anchors_file=flags.trust_anchors_file,
        configuration=lambda anchors: configuration(flags, anchors),
        now=now,
    )


async def _run(flags: argparse.Namespace) -> None:
    mounted = mounted_by(flags)
    async with client.connect() as kube:

        async def annotations(namespace: str) -> Mapping[str, str]:
            try:
                return (await kube.get(NAMESPACES, namespace)).metadata.annotations
            except NotFound:
                return {}

        await until_terminated(
            mounted.follow_certificate(),
            mounted.renew_certificate(),
            mounted.follow_trust_anchors(),
            serve(mounted, Webhook(mounted.current, annotations, REGISTRY), listen=flags.listen),
            _serve_admin(mounted, flags.admin),
        )


async def serve(mounted: Mounted, webhook: Webhook, *, listen: str, bound: "asyncio.Future[int] | None" = None) -> None:
    """Serve from the moment there is a certificate and a configuration; `bound` learns the port."""
    await mounted.usable.wait()
    async with serving(webhook.application(), listen, tls=mounted.tls) as port:
        if bound is not None:
            bound.set_result(port)
        await asyncio.Event().wait()


async def _serve_admin(mounted: Mounted, address: str) -> None:
    async with admin.serve(lambda: mounted.waiting_for, address=address):
        await asyncio.Event().wait()
