"""Mutual TLS between proxies: who we are (the agent in the pod), whom we trust (SDS), whom we expect (a SPIFFE ID)."""

from typing import Any, Final

from envoy.config.core.v3 import base_pb2, config_source_pb2, extension_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import (
    common_pb2,
    secret_pb2,
    tls_pb2,
    tls_spiffe_validator_config_pb2,
)
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import json_format

from isthmus import names
from isthmus.envoy import wire
from isthmus.envoy.bootstrap import secret_source
from isthmus.mesh.model import Trust

_WORKLOAD: Final = secret_pb2.SdsSecretConfig(
    name=names.WORKLOAD_CERTIFICATE_SECRET,
    sds_config=json_format.ParseDict(secret_source(), config_source_pb2.ConfigSource()),
)


def trust(bundles: Trust) -> Any:
    """An SDS secret: trust domain -> roots. A certificate is checked against the roots of its own domain only."""
    validator = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig(
        trust_domains=[
            tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig.TrustDomain(
                name=bundle.trust_domain, trust_bundle=base_pb2.DataSource(inline_string=bundle.roots)
            )
            for bundle in bundles.bundles
        ]
    )
    return secret_pb2.Secret(
        name=bundles.name,
        validation_context=common_pb2.CertificateValidationContext(
            custom_validator_config=wire.extension(
                extension_pb2.TypedExtensionConfig, "envoy.tls.cert_validator.spiffe", validator
            )
        ),
    )


def client_context(*, sni: str, expected: str, alpn: tuple[str, ...] = ()) -> Any:
    """Dial a proxy that must prove to be `expected`, a SPIFFE ID.

    Without `alpn`, Envoy offers what the connection pool speaks: `h2` or `http/1.1` for requests, nothing for bytes.
    """
    san = common_pb2.SubjectAltNameMatcher(san_type="URI", matcher=string_pb2.StringMatcher(exact=expected))
    context = tls_pb2.UpstreamTlsContext(
        sni=sni,
        common_tls_context=_common(names.TRUST_OUTBOUND_SECRET, expected=(san,), alpn=alpn),
    )
    return _socket(context)


def server_context(*, alpn: tuple[str, ...] = ()) -> Any:
    """Accept proxies whose certificate a bundle of `trust/inbound` vouches for."""
    context = tls_pb2.DownstreamTlsContext(
        require_client_certificate=wire.boolean(True),
        common_tls_context=_common(names.TRUST_INBOUND_SECRET, alpn=alpn),
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return _socket(context)


def plain() -> Any:
    """Dial an endpoint that has no proxy."""
    return wire.extension(base_pb2.TransportSocket, "envoy.transport_sockets.raw_buffer", raw_buffer_pb2.RawBuffer())


def _common(trust_secret: str, *, expected: tuple[Any, ...] = (), alpn: tuple[str, ...] = ()) -> Any:
    combined = tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(match_typed_subject_alt_names=expected),
        validation_context_sds_secret_config=secret_pb2.SdsSecretConfig(name=trust_secret, sds_config=wire.ads()),
    )
    return tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version="TLSv1_3", tls_maximum_protocol_version="TLSv1_3"
        ),
        tls_certificate_sds_secret_configs=[_WORKLOAD],
        combined_validation_context=combined,
        alpn_protocols=alpn,
    )


def _socket(context: Any) -> Any:
    return wire.extension(base_pb2.TransportSocket, "envoy.transport_sockets.tls", context)
