"""Which version this program is of, as its package says."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

#: Such as ``1.4.2``; `hhh.services.versions` tells which of them work together.
PRODUCT_VERSION: Final = version("hhh-backup")
