"""Words for messages."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 8


def counted(count: int, one: str, more: str) -> str:
    """A number of things: ``1 copy``, ``2 copies``."""
    return f"{count} {one if count == 1 else more}"


def listed(names: Sequence[str]) -> str:
    """Names for a message, of many only the first ones: ``a, b and 3 more``."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
