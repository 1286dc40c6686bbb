"""`python -I -m isthmus.proxy.init`: the init container. Puts the pod's redirections in place, or fails the pod."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from isthmus import names
from isthmus.proxy import programs
from isthmus.proxy.redirect import render
from isthmus.resources import ports

NFT_SECONDS: Final = 20.0
PROXY_PORTS: Final = ",".join(map(str, names.NEVER_REDIRECTED_PORTS))


def main(arguments: Sequence[str]) -> int:
    """Apply the redirections; the exit code."""
    flags = parser().parse_args(arguments)
    script = render(
        inbound_port=flags.inbound_port,
        outbound_port=flags.outbound_port,
        proxy_uid=flags.proxy_uid,
        inbound_ignored=flags.inbound_ports_to_ignore + flags.control_plane_ports,
        outbound_ignored=flags.outbound_ports_to_ignore,
    )
    if flags.print:
        print(script, end="")
        return 0
    try:
        done = programs.run(("nft", "-f", "-"), given=script.encode(), timeout=NFT_SECONDS)
    except programs.ProgramError as error:
        return _failed(str(error))
    if done.code != 0:
        return _failed(f"nft said: {done.errors.decode(errors='replace').strip()} (the container needs NET_ADMIN)")
    print(
        f"redirecting inbound TCP to {flags.inbound_port} and outbound TCP to {flags.outbound_port}, "
        f"except what uid {flags.proxy_uid} sends"
    )
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="proxy-init", description=__doc__)
    made.add_argument("--inbound-port", type=int, default=names.INBOUND_PORT)
    made.add_argument("--outbound-port", type=int, default=names.OUTBOUND_PORT)
    made.add_argument("--proxy-uid", type=int, default=names.PROXY_UID)
    made.add_argument("--inbound-ports-to-ignore", type=_ports, default=(), metavar="PORTS")
    made.add_argument("--outbound-ports-to-ignore", type=_ports, default=(), metavar="PORTS")
    made.add_argument("--control-plane-ports", type=_ports, default=PROXY_PORTS, metavar="PORTS")
    made.add_argument("--print", action="store_true", help="show the nftables script and change nothing")
    return made


def _ports(text: str) -> tuple[int, ...]:
    try:
        return ports.parse(text)
    except ports.PortError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _failed(why: str) -> int:
    print(f"isthmus proxy-init: the pod's traffic cannot be redirected: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
