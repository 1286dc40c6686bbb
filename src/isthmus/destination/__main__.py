"""`python -m isthmus.destination`."""

import sys

from isthmus.destination.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
