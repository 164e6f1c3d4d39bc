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


def statements(text: str) -> list[str]:
    """Statements that each end by ``;`` at the end of a line, without what is a comment alone and ends none."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        found[-1].append(line)
        if line.rstrip().endswith(";"):
            found.append([])
    while found[-1] and _says_nothing(found[-1][-1]):
        found[-1].pop()
    return ["\n".join(each).strip() for each in found if not all(map(_says_nothing, each))]


def _says_nothing(line: str) -> bool:
    return not line.strip(" \t;") or line.lstrip().startswith("--")
