"""The certificates of one lab cluster, and the kubeconfig that leads to all of them.

A cluster has its own CA, as a real one has: it signs the API server's certificate and those of the administrator and of
the node. Service account tokens are signed by a key of their own. Everything lies as files in one directory.
"""

import base64
import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADMIN: Final = "admin"
NODE: Final = "node"
SUPERUSERS: Final = "system:masters"
LIFETIME: Final = datetime.timedelta(days=3650)
CLOCK_SKEW: Final = datetime.timedelta(minutes=5)
API_SERVICE_IP: Final = "10.96.0.1"


@dataclass(frozen=True)
class Pki:
    """Where one cluster's certificates and keys lie."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.certificate("ca")

    @property
    def account_key(self) -> Path:
        """Signs service account tokens. Its public half is derived from it."""
        return self.key("sa")

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    @property
    def ca_pem(self) -> str:
        return self.ca.read_text()

    def server_context(self) -> ssl.SSLContext:
        """TLS for the API server: asks clients for a certificate, and accepts those who have none."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.load_cert_chain(self.certificate("apiserver"), self.key("apiserver"))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    def client_context(self, name: str = ADMIN) -> ssl.SSLContext:
        """TLS towards this cluster's API server, as `admin` or `node`."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate(name), self.key(name))
        return context


@dataclass(frozen=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def create(directory: Path, *, cluster: str, node_ip: str, domain: str = "cluster.local") -> Pki:
    """Make a new cluster's CA, certificates and signing key. What was in the directory is replaced."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = Pki(directory)
    authority = _authority(f"{cluster}-ca")
    _write(pki.ca, _pem(authority.certificate), mode=0o644)
    _write(pki.key("ca"), _key_pem(authority.key), mode=0o600)
    names = (
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{domain}",
    )
    addresses = dict.fromkeys(("127.0.0.1", node_ip, API_SERVICE_IP))
    sans: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    sans += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    _leaf(pki, "apiserver", authority, subject=_subject("kube-apiserver"), sans=sans)
    _leaf(pki, ADMIN, authority, subject=_subject("kubernetes-admin", SUPERUSERS))
    _leaf(pki, NODE, authority, subject=_subject(f"system:node:{cluster}", SUPERUSERS))
    _write(pki.account_key, _key_pem(_new_key()), mode=0o600)
    return pki


def kubeconfig(path: Path, clusters: Mapping[str, tuple[Pki, str]], *, current: str = "") -> None:
    """Write one kubeconfig with a context per cluster: name -> (its certificates, its server URL)."""
    names = list(clusters)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [
            {"name": name, "cluster": {"server": url, "certificate-authority-data": _base64(pki.ca)}}
            for name, (pki, url) in clusters.items()
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _base64(pki.certificate(ADMIN)),
                    "client-key-data": _base64(pki.key(ADMIN)),
                },
            }
            for name, (pki, _) in clusters.items()
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "current-context": current or (names[0] if names else ""),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, yaml.safe_dump(document, sort_keys=False).encode(), mode=0o600)


def _authority(name: str) -> _Authority:
    key = _new_key()
    subject = _subject(name)
    builder = _builder(subject=subject, issuer=subject, key=key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _Authority(key, builder.sign(key, hashes.SHA256()))


def _leaf(
    pki: Pki,
    name: str,
    authority: _Authority,
    *,
    subject: x509.Name,
    sans: Iterable[x509.GeneralName] = (),
) -> None:
    """Sign a certificate: for a server when it has names to be reached by, for a client otherwise."""
    alternatives = list(sans)
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if alternatives else ExtendedKeyUsageOID.CLIENT_AUTH
    key = _new_key()
    builder = _builder(subject=subject, issuer=authority.certificate.subject, key=key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    _write(pki.certificate(name), _pem(builder.sign(authority.key, hashes.SHA256())), mode=0o644)
    _write(pki.key(name), _key_pem(key), mode=0o600)


def _builder(*, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file in one step; a key is never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    temporary.replace(path)
