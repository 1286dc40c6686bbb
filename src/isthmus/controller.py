"""The entrypoint of every control-plane process: `python -m isthmus.controller <process> flags...`.

Only the room of the chosen process is imported, so that each process pays for its own libraries alone.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Final

PROCESSES: Final = {
    "identity": "isthmus.identity.main",
    "destination": "isthmus.destination.main",
    "proxy-injector": "isthmus.injector.main",
    "multicluster-controller": "isthmus.multicluster.main",
    "viz-metrics-api": "isthmus.viz.main",
    "viz-web": "isthmus.viz.web_main",
}
"""Each module offers `main(arguments)`, which returns the exit code."""


def main(arguments: Sequence[str]) -> int:
    """Run the process named by the first argument; the rest are its flags."""
    if not arguments or arguments[0] not in PROCESSES:
        named = f"unknown process {arguments[0]!r}" if arguments else "no process named"
        print(f"{named}: the first argument must be one of {', '.join(PROCESSES)}", file=sys.stderr)
        return 2
    module = importlib.import_module(PROCESSES[arguments[0]])
    return int(module.main(list(arguments[1:])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
