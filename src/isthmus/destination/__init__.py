"""The destination process: answers every proxy's question of what it may reach."""

import os

# gRPC writes to stderr in a format of its own, an error line for every connection whose SNI is not in the certificate;
# this process logs JSON lines, and proxies are known by their SPIFFE ID. Read once, when grpc is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
