"""Words for messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

_SHOWN = 8
_HOUR, _TWO_DAYS = timedelta(hours=1), timedelta(days=2)
#: A database may be somebody else's, and its names and messages stand in what is told of it: none of them commands a
#: terminal, or turns the direction of what is read. Line breaks and tabs stay.
_HARMLESS = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
    | {0x7F: 0x2421}
    | dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
)
#: Of those, what JSON may hold as it is; and halves of characters, which no encoding takes.
_COMMANDING = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """A text as people may be shown it, with a visible sign for each character that is none of its own."""
    return text if text.isprintable() else text.translate(_HARMLESS)


def harmless_json(text: str) -> str:
    """The same JSON, with escapes for what commands a terminal, turns what is read, or breaks a line for some tools."""
    return _COMMANDING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def counted(count: int, one: str, more: str) -> str:
    """A number of things: ``1 copy``, ``2,000 copies``."""
    return f"{count:,} {one if count == 1 else more}"


def listed(names: Sequence[str]) -> str:
    """Names for a message, of many only the first ones: ``a, b and 3 more``."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def minute(moment: datetime) -> str:
    """A moment in UTC, to the minute: ``2026-11-23 08:00 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def age(span: timedelta) -> str:
    """How old something is: ``5 minutes``, ``1 hour``, ``47 hours``, ``2 days``; of what is yet to come 0 minutes."""
    if span >= _TWO_DAYS:
        return counted(span.days, "day", "days")
    if span >= _HOUR:
        return counted(span // _HOUR, "hour", "hours")
    return counted(max(0, span // timedelta(minutes=1)), "minute", "minutes")


def last_line(text: str | None) -> str:
    """The last line that says something: tools end with why they failed. Empty where there is none."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


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
