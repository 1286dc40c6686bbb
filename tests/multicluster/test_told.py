"""What a person who looks at a Link reads when something is wrong that only somebody else can repair."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from isthmus import names
from isthmus.identity import ca
from isthmus.identity.issuer import load_issuer
from isthmus.kube import pki, tls
from isthmus.kube.kinds import plain
from isthmus.mesh.model import Identity
from isthmus.multicluster.objects import LINKS

from .clusters import CONFIG_MAPS, NAMESPACE, Cluster, Gateway

ROLE_BINDINGS = plain("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
GATEWAY = Identity("east.example", "linkerd-multicluster", "linkerd-gateway")


@dataclass(frozen=True)
class Authority:
    root: pki.KeyPair
    issuer: pki.KeyPair

    @classmethod
    def made(cls) -> "Authority":
        root = pki.make_root("east")
        return cls(root, pki.make_issuer(root, common_name="issuer"))

    def certificate(self, identity: Identity) -> pki.KeyPair:
        now, key = datetime.now(UTC), pki.make_key()
        signer = load_issuer(
            cert_pem=self.issuer.cert_pem, key_pem=self.issuer.key_pem, roots_pem=self.root.cert_pem, now=now
        )
        leaf = ca.issue(key.public_key(), ca.workload_names(identity), issuer=signer, now=now, validity=ca.Validity())
        return pki.KeyPair(leaf.chain_pem, pki.key_pem(key))


@asynccontextmanager
async def listening(shown: pki.KeyPair | None) -> AsyncIterator[int]:
    """Something that listens where the gateway should: with this certificate, or without TLS."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    context: ssl.SSLContext | None = tls.server_context(shown) if shown else None
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_target_without_a_control_plane_is_to_get_one(east: Cluster, west: Cluster, gateway: Gateway) -> None:
    await east.client.delete(CONFIG_MAPS, names.TRUST_ROOTS_CONFIG_MAP, "linkerd")
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("TrustEstablished") == "False RootsUnavailable")
        assert west.message("TrustEstablished") == (
            "east has no ConfigMap linkerd/linkerd-identity-trust-roots with a trust domain. "
            "Install the control plane there."
        )
        await east.publish_roots(east.roots)
        await west.until(lambda: west.condition("TrustEstablished") in ("Unknown Pending", "False Undecided"))


async def test_a_target_that_lets_nobody_register_is_to_get_its_extension_renewed(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    for item in await east.client.list(ROLE_BINDINGS, NAMESPACE):
        if item["subjects"][0]["name"] == names.REMOTE_ACCESS_ACCOUNT:
            await east.client.delete(ROLE_BINDINGS, item["metadata"]["name"], NAMESPACE)
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("TrustEstablished") == "False RegistrationFailed")
        told = west.message("TrustEstablished")
        assert "federatedtrustdomains" in told
        assert told.endswith("multicluster extension in east with `linkerd multicluster install`.")
        assert west.events("RegistrationFailed") == [told]


async def test_a_field_of_a_link_that_cannot_be_used_is_named_and_the_rest_counts(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    async with west.controller(gateway.url):
        await west.link(east, gatewayPort="https")
        await west.until(lambda: west.condition("Accepted") == "False InvalidSpec")
        assert west.message("Accepted") == "spec.gatewayPort is 'https', which is not a port number; 4143 is used."
        await west.until(lambda: west.outcome("backend") == "Mirrored")
        await west.client.patch(LINKS, "linkerd-east", {"spec": {"gatewayPort": "4143"}}, NAMESPACE)
        await west.until(lambda: west.condition("Accepted") == "True Accepted")


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        (None, "does not speak TLS as a gateway does"),
        (pki.make_root("a web server"), "shows a certificate that is no workload's of a mesh"),
    ],
    ids=["a mail server", "a web server"],
)
async def test_what_listens_there_and_is_no_gateway_is_told_with_what_to_compare(
    east: Cluster, west: Cluster, shown: pki.KeyPair | None, seen: str
) -> None:
    async with listening(shown) as port, west.controller():
        await west.link(east, gatewayAddress="127.0.0.1", gatewayPort=str(port))
        await west.until(lambda: west.condition("GatewayAlive") == "False NotAGateway")
        told = west.message("GatewayAlive")
        assert told.startswith(f"The gateway at 127.0.0.1:{port} {seen}")
        assert told.endswith(
            "Something else listens there. Compare spec.gatewayAddress of Link linkerd-east with Service "
            "linkerd-gateway of east."
        )


async def test_a_gateway_that_shows_itself_and_does_not_answer_probes_lets_this_cluster_not_in(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    authority = Authority.made()
    await east.publish_roots(authority.root.cert_pem)
    gateway.status = 503
    async with listening(authority.certificate(GATEWAY)) as port, west.controller(gateway.url):
        await west.link(east, gatewayAddress="127.0.0.1", gatewayPort=str(port))
        await west.until(lambda: west.condition("GatewayAlive") == "False NotLetIn")
        told = west.message("GatewayAlive")
        assert "shows itself, but a probe through this cluster's proxy fails" in told
        assert "see TrustEstablished, and `linkerd multicluster check` in east" in told


async def test_mirrors_that_may_not_be_written_say_what_was_refused(
    east: Cluster, west: Cluster, gateway: Gateway
) -> None:
    await east.export()
    rules = west.granted()
    await west.grant(
        [rule | {"verbs": ["list", "watch"]} if "services" in rule["resources"] else rule for rule in rules]
    )
    async with west.controller(gateway.url):
        await west.link(east)
        await west.until(lambda: west.condition("Synced") == "False WriteFailed")
        told = west.message("Synced")
        assert told.startswith("Retrying: ")
        assert 'cannot create resource "services"' in told
