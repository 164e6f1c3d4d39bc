"""Writes `docs/api.md`: `python -m hhh.cli.api_reference > docs/api.md`, or `make reference`."""

from __future__ import annotations

import sys

from hhh.api.reference import page
from hhh.main import describe

if __name__ == "__main__":
    sys.stdout.write(page(describe()))
