"""`python -I -m isthmus.proxy`: the main process of the proxy container."""

import sys

from isthmus.proxy.agent import main

sys.exit(main())
