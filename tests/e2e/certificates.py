"""Who a test pretends to be: a pod's own certificate, or one made up by a certificate authority of the test's."""

import json
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.lab_fixture import Lab

from isthmus import names
from isthmus.identity import ca
from isthmus.identity.issuer import Issuer, load_issuer
from isthmus.kube import pki
from isthmus.mesh.model import Identity


@dataclass(frozen=True)
class Certificate:
    """A chain and its key, both PEM."""

    chain: str
    key: str = field(repr=False)


def trust(lab: Lab, cluster: str) -> tuple[str, str]:
    """A cluster's trust domain and roots."""
    data = lab.get(cluster, "cm", "-n", names.CONTROL_PLANE_NAMESPACE, names.TRUST_ROOTS_CONFIG_MAP)["data"]
    return data[names.TRUST_DOMAIN_KEY], data[names.TRUST_ROOTS_KEY]


def of_pod(lab: Lab, cluster: str, target: str, *, namespace: str = "default") -> Certificate:
    """The certificate a pod's proxy shows now: the last thing an attacker would get hold of."""
    file = f"{names.IDENTITY_DIR}/workload.json"
    text = lab.exec(cluster, target, "cat", file, namespace=namespace, container=names.PROXY_CONTAINER)
    secret = json.loads(text)["tls_certificate"]
    return Certificate(secret["certificate_chain"]["inline_string"], secret["private_key"]["inline_string"])


def issuer_of(lab: Lab, cluster: str) -> Issuer:
    """A cluster's certificate authority, with its key, as its administrator has it."""
    place = ("-n", names.CONTROL_PLANE_NAMESPACE, names.IDENTITY_ISSUER_SECRET)
    template = '{{index .data "tls.crt" | base64decode}}\n{{index .data "tls.key" | base64decode}}'
    text = lab.kubectl(cluster, "get", "secret", *place, "-o", f"go-template={template}")
    chain, key = _split(text)
    return load_issuer(cert_pem=chain, key_pem=key, roots_pem=trust(lab, cluster)[1], now=datetime.now(UTC))


def stranger() -> Issuer:
    """A certificate authority that nobody has heard of."""
    root = pki.make_root("stranger")
    issuer = pki.make_issuer(root, common_name="stranger issuer")
    return load_issuer(cert_pem=issuer.cert_pem, key_pem=issuer.key_pem, roots_pem=root.cert_pem, now=datetime.now(UTC))


def issue(issuer: Issuer, identity: Identity, *, age: timedelta = timedelta(0)) -> Certificate:
    """What `issuer` would sign for `identity`, were it asked to: a leaf of 24 hours, made `age` ago."""
    key = pki.make_key()
    leaf = ca.issue(
        key.public_key(),
        ca.workload_names(identity),
        issuer=issuer,
        now=datetime.now(UTC) - age,
        validity=ca.Validity(),
    )
    return Certificate(leaf.chain_pem, pki.key_pem(key))


def client_context(certificate: Certificate | None, *, roots: str, alpn: str) -> ssl.SSLContext:
    """A TLS 1.3 client that insists on a server of `roots`, whatever its name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_verify_locations(cadata=roots)
    context.set_alpn_protocols([alpn])
    if certificate is not None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(certificate.chain + certificate.key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _split(text: str) -> tuple[str, str]:
    end = text.rindex("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return text[:end] + "\n", text[end:].strip() + "\n"
