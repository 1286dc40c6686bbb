"""Whose requests are let in, asked anew for every request: a certificate is checked only when a connection begins.

The list of trust domains comes by extension discovery (ECDS) and is used at once on connections that exist, too. So a
cluster whose registration ends is refused from then on, whatever it keeps open, and nobody else's connection is cut.
"""

from typing import Any

from envoy.config.core.v3 import config_source_pb2, extension_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as rbac_filter_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.matcher.v3 import string_pb2

from isthmus import names
from isthmus.envoy import wire
from isthmus.envoy.resources import TYPE_URL_PREFIX
from isthmus.mesh.model import Trust

REFUSED = "the client's trust domain is not, or no longer, recognised here"


def http_filter() -> Any:
    """An HTTP filter that waits for its rules from the control plane."""
    return http_connection_manager_pb2.HttpFilter(
        name=names.TRUST_INBOUND_SECRET,
        config_discovery=config_source_pb2.ExtensionConfigSource(
            config_source=wire.ads(),
            type_urls=[TYPE_URL_PREFIX + rbac_filter_pb2.RBAC.DESCRIPTOR.full_name],
        ),
    )


def rules(trust: Trust) -> Any:
    """The rules of `http_filter`: clients of these trust domains."""
    domains = [_of(bundle.trust_domain) for bundle in trust.bundles]
    anything = rbac_pb2.Permission(any=True)
    policies = {"trusted": rbac_pb2.Policy(permissions=[anything], principals=domains)} if domains else {}
    return wire.extension(
        extension_pb2.TypedExtensionConfig,
        names.TRUST_INBOUND_SECRET,
        rbac_filter_pb2.RBAC(rules=rbac_pb2.RBAC(action="ALLOW", policies=policies)),
    )


def _of(domain: str) -> Any:
    name = string_pb2.StringMatcher(prefix=f"spiffe://{domain}/")
    return rbac_pb2.Principal(authenticated=rbac_pb2.Principal.Authenticated(principal_name=name))
