"""TLS contexts for the servers and clients of the control plane. Keys stay in memory."""

import os
import ssl

from isthmus.kube.pki import KeyPair


def server_context(pair: KeyPair) -> ssl.SSLContext:
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


def present(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Make new connections of `context` present `pair`; ssl.SSLError, and no change, when the two do not match.

    The ssl module reads certificates from files only; an anonymous memory file keeps the key off every disk.
    """
    descriptor = os.memfd_create("certificate")
    try:
        with os.fdopen(os.dup(descriptor), "w") as file:
            file.write(pair.cert_pem.rstrip() + "\n" + pair.key_pem)
        # A context that fails half way would be left with a certificate and no key: try on another one first.
        for each in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            each.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
