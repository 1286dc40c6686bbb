"""The Link controller as a process."""

import argparse
import os
import socket
from collections.abc import Sequence

from isthmus import names
from isthmus.kube import admin, process
from isthmus.kube.client import connect
from isthmus.kube.leader import Election
from isthmus.kube.process import until_terminated
from isthmus.multicluster import prober
from isthmus.multicluster.controller import Controller
from isthmus.multicluster.metrics import Metrics
from isthmus.multicluster.settings import Settings


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="multicluster-controller", description=__doc__)
    parser.add_argument("--namespace", default=names.MULTICLUSTER_NAMESPACE, help="where Links live")
    parser.add_argument("--linkerd-namespace", default=names.CONTROL_PLANE_NAMESPACE, help="the control plane's")
    parser.add_argument("--cluster-domain", default="cluster.local", help="of this cluster")
    parser.add_argument(
        "--enable-headless-services",
        default="true",
        choices=["true", "false"],
        help="whether pods of mirrored headless services keep their names; else their mirrors are plain ones",
    )
    parser.add_argument(
        "--enable-namespace-creation",
        default="false",
        choices=["true", "false"],
        help="whether namespaces of exported services are made here where they are missing",
    )
    parser.add_argument(
        "--local-excluded-labels",
        default="",
        help="labels that federated services do not take over from members in this cluster: exact, or prefix/*",
    )
    parser.add_argument("--local-excluded-annotations", default="", help="the same for annotations")
    parser.add_argument("--admin", default=f"0.0.0.0:{names.CONTROLLER_ADMIN_PORT}", metavar="HOST:PORT")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warn", "warning", "error"])
    parser.add_argument("--kubeconfig", help="for running outside of the cluster")
    parser.add_argument("--context")
    return parser.parse_args(argv)


def settings(options: argparse.Namespace) -> Settings:
    return Settings(
        headless=options.enable_headless_services == "true",
        create_namespaces=options.enable_namespace_creation == "true",
        excluded_labels=_parts(options.local_excluded_labels),
        excluded_annotations=_parts(options.local_excluded_annotations),
    )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


async def run(options: argparse.Namespace) -> None:
    identity = f"{os.environ.get('HOSTNAME') or socket.gethostname()}-{os.getpid()}"
    async with connect(options.kubeconfig, options.context, manager=names.MULTICLUSTER_CONTROLLER) as client:
        controller = Controller(
            client,
            namespace=options.namespace,
            linkerd_namespace=options.linkerd_namespace,
            probe_url=lambda link, port: prober.url(link, port, options.cluster_domain),
            metrics=Metrics(),
            settings=settings(options),
        )
        election = Election(client, names.MULTICLUSTER_CONTROLLER, namespace=options.namespace, identity=identity)
        async with admin.serve(controller.local.informers.waiting_for, address=options.admin):
            await until_terminated(controller.follow(), election.run(controller.lead))


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM; the exit code."""
    options = arguments(argv)
    return process.run(run(options), log_level=options.log_level)
