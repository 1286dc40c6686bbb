"""A line for each request to the application, where the pod asks for it: Linkerd's two formats, on standard output."""

from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from google.protobuf.struct_pb2 import Struct

from isthmus.envoy import wire

_TIME: Final = "%START_TIME(%Y-%m-%dT%H:%M:%S.%9fZ)%"
_APACHE: Final = (
    f"%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_PEER_URI_SAN% - [{_TIME}] "
    '"%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESPONSE_CODE% %BYTES_SENT%\n'
)
_JSON: Final = {
    "client.addr": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "client.id": "%DOWNSTREAM_PEER_URI_SAN%",
    "host": "%REQ(:AUTHORITY)%",
    "method": "%REQ(:METHOD)%",
    "processing_ns": "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ns)%",
    "request_bytes": "%BYTES_RECEIVED%",
    "response_bytes": "%BYTES_SENT%",
    "status": "%RESPONSE_CODE%",
    "timestamp": _TIME,
    "total_ns": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%",
    "trace_id": "%REQ(TRACEPARENT)%",
    "uri": "%REQ(:PATH)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "version": "%PROTOCOL%",
}


def loggers(style: str) -> list[Any]:
    """`apache`, `json`, or "" for none."""
    if not style:
        return []
    written = substitution_format_string_pb2.SubstitutionFormatString()
    if style == "json":
        fields = Struct()
        fields.update(_JSON)
        written.json_format.CopyFrom(fields)
    else:
        written.text_format_source.CopyFrom(base_pb2.DataSource(inline_string=_APACHE))
    stdout = stream_pb2.StdoutAccessLog(log_format=written)
    return [wire.extension(accesslog_pb2.AccessLog, "envoy.access_loggers.stdout", stdout)]
