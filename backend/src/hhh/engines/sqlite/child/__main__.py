"""The program, run as ``python -I <this folder>``."""

from __future__ import annotations

import os
import sys

# Python has put this folder first on its path. What is found there must be this package, and not its parts.
sys.path[0] = os.path.abspath(__file__).rsplit(os.sep, 5)[0]

from hhh.engines.sqlite.child.operations import main  # noqa: E402

main()
