"""Where an API server is and how to prove who we are, as a kubeconfig says it."""

import base64
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Access:
    """Where an API server is and how to prove who we are."""

    server: str
    tls: ssl.SSLContext
    token: str = ""


def read_kubeconfig(path: Path, context: str = "") -> Access:
    """The access that one context (default: the current one) of a kubeconfig file gives."""
    config = yaml.safe_load(path.read_text())
    chosen = _named(config, "contexts", context or config.get("current-context", ""), path)["context"]
    cluster = _named(config, "clusters", chosen["cluster"], path)["cluster"]
    user = _named(config, "users", chosen["user"], path)["user"]
    authority = _material(cluster, "certificate-authority")
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _material(user, "client-certificate"), _material(user, "client-key")
    if certificate and key:
        with os.fdopen(os.memfd_create("credentials"), "wb") as pair:  # in memory: a key is never left in a file
            pair.write(certificate.rstrip() + b"\n" + key)
            pair.flush()
            tls.load_cert_chain(f"/proc/self/fd/{pair.fileno()}")
    return Access(server=cluster["server"].rstrip("/"), tls=tls, token=user.get("token", ""))


def _named(config: Mapping[str, Any], section: str, name: str, path: Path) -> Any:
    for entry in config.get(section) or ():
        if entry["name"] == name:
            return entry
    raise ValueError(f"{path} has no entry named {name!r} under {section}: check the file or name another context")


def _material(section: Mapping[str, Any], field: str) -> bytes:
    if data := section.get(f"{field}-data"):
        return base64.b64decode(data)
    if name := section.get(field):
        return Path(name).read_bytes()
    return b""
