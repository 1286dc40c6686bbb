"""TLS contexts for the servers and clients of the control plane. Keys stay in memory."""

import base64
import os
import ssl
from typing import TYPE_CHECKING

from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User

if TYPE_CHECKING:
    from isthmus.kube.pki import KeyPair


def server_context(pair: "KeyPair") -> ssl.SSLContext:
    """A TLS 1.3 server context presenting `pair`. Renew it with `present`, while it serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    present(context, pair)
    return context


def client_context(trust_anchors: str) -> ssl.SSLContext:
    """A TLS 1.3 client context that trusts `trust_anchors` and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=trust_anchors)
    return context


def cluster_context(where: SingleConfig) -> ssl.SSLContext:
    """What a kubeconfig says of the API server's certificate, and of ours.

    The library would write what is in the kubeconfig to files, and a pod with a read-only root has no place for any.
    """
    cluster, user = where.cluster, where.user or User()
    if cluster.certificate_auth_data and not cluster.certificate_auth:
        context = ssl.create_default_context(cadata=_decoded(cluster.certificate_auth_data))
    else:
        context = verify_cluster(cluster, User(), where.abs_file)
    if user.client_cert_data and user.client_key_data:
        _load(context, _decoded(user.client_cert_data), _decoded(user.client_key_data))
    elif user.client_cert and user.client_key:
        context.load_cert_chain(where.abs_file(user.client_cert), where.abs_file(user.client_key))
    return context


def present(context: ssl.SSLContext, pair: "KeyPair") -> None:
    """Make new connections of `context` present `pair`; ssl.SSLError, and no change, when the two do not match."""
    # A context that fails half way would be left with a certificate and no key: try on another one first.
    for each in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
        _load(each, pair.cert_pem, pair.key_pem)


def _load(context: ssl.SSLContext, cert_pem: str, key_pem: str) -> None:
    """The ssl module reads certificates from files only; an anonymous memory file keeps the key off every disk."""
    descriptor = os.memfd_create("certificate")
    try:
        with os.fdopen(os.dup(descriptor), "w") as file:
            file.write(cert_pem.rstrip() + "\n" + key_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
