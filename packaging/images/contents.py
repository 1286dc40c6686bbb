"""What is in each image: the one table that the build, the Containerfile's test and the documentation go by."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SITE: Final = "usr/local/lib/python3.11/dist-packages"
"""Where the image's Python looks for what Debian does not package."""

PYTHON: Final = (
    "base-files", "ca-certificates", "libbz2-1.0", "libc6", "libcrypt1", "libexpat1", "libffi8", "libgcc-s1",
    "liblzma5", "libpython3.11-minimal", "libpython3.11-stdlib", "libssl3", "libuuid1", "python3.11-minimal",
    "zlib1g",
)  # fmt: skip
LIBRARIES: Final = (
    "aiohappyeyeballs", "aiohttp", "aiosignal", "anyio", "attrs", "cffi", "cryptography", "frozenlist", "grpcio",
    "h11", "httpcore2", "httpx2", "idna", "lightkube", "lightkube-models", "msgspec", "multidict",
    "prometheus-client", "propcache", "protobuf", "pycparser", "pyyaml", "truststore", "typing-extensions",
    "xds-protos", "yarl",
)  # fmt: skip
"""Of requirements.lock, with its versions and hashes: what the control plane imports."""
NOT_IN_IMAGES: Final = ("cli", "install", "lab")
"""Rooms of the package that no process in a cluster uses."""


@dataclass(frozen=True)
class Layer:
    """Files that belong together. `links` are symbolic links: path -> target."""

    name: str
    debian: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """(Path in the repository, path in the image); a folder is taken as a whole."""
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Image:
    """What runs: layers from below, the user, and the program."""

    name: str
    layers: tuple[Layer, ...]
    user: str
    entrypoint: tuple[str, ...]


SHELL: Final = ("sh", "sed", "grep", "tr", "cut", "cat", "ls", "ps", "sleep", "wget")
BASE: Final = Layer("python", debian=PYTHON, links=(("usr/bin/python3", "python3.11"), ("usr/bin/python", "python3")))
ISTHMUS: Final = Layer("isthmus", files=(("src/isthmus", f"{SITE}/isthmus"),))
CONTROL: Final = Layer("libraries", debian=("libstdc++6",), libraries=LIBRARIES)
PROXY: Final = Layer(
    "envoy",
    debian=("busybox-static", "openssl"),
    files=(
        (".envoy/envoy/_bin/envoy", "usr/local/bin/envoy"),
        ("src/isthmus/lab/programs/linkerd-await", "linkerd-await"),
        ("src/isthmus/lab/programs/linkerd-identity", "usr/local/bin/linkerd-identity"),
    ),
    links=(("usr/local/bin/linkerd-await", "/linkerd-await"), *((f"usr/bin/{name}", "busybox") for name in SHELL)),
)
REDIRECT: Final = Layer(
    "nftables",
    debian=(
        "libbsd0", "libedit2", "libgmp10", "libjansson4", "libmd0", "libmnl0", "libnftables1", "libnftnl11",
        "libtinfo6", "libxtables12", "nftables",
    ),
)  # fmt: skip
PAUSE: Final = Layer("pause", debian=("catatonit",))

INTERPRETER: Final = "/usr/bin/python3.11"
IMAGES: Final = (
    Image("controller", (BASE, CONTROL, ISTHMUS), "2103:2103", (INTERPRETER, "-I", "-m", "isthmus.controller")),
    Image("proxy", (BASE, PROXY, ISTHMUS), "2102:2102", (INTERPRETER, "-I", "-m", "isthmus.proxy")),
    Image("proxy-init", (BASE, REDIRECT, ISTHMUS), "0:0", (INTERPRETER, "-I", "-m", "isthmus.proxy.init")),
    Image("pause", (PAUSE,), "65535:65535", ("/usr/bin/catatonit", "-P")),
)
"""`proxy-init` is root because redirecting needs NET_ADMIN in its own network namespace; nothing else is."""
ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
}
