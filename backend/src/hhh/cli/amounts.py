"""Moments, spans of time and sizes, as operators type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hhh.core.errors import InvalidInput

#: Typed where a limit is to be none.
NONE = "none"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?i?)b?", re.IGNORECASE)


def moment_of(text: str, option: str) -> datetime:
    """The moment of ``2026-11-23`` or ``2026-11-23T08:00:00+01:00``, in UTC unless it has an offset.

    Raises:
        InvalidInput: it is none.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{option} is no moment: {text!r}", hint="e.g. 2026-11-23 or 2026-11-23T08:00:00+01:00"
        ) from None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def seconds_of(text: str, option: str) -> int | None:
    """The seconds of ``90m``; None for `NONE`.

    Raises:
        InvalidInput: it is no duration. One without a unit is none either, but for 0.
    """
    if text == NONE:
        return None
    found = _DURATION.fullmatch("0s" if text == "0" else text)
    if found is None:
        raise InvalidInput(f"{option} is no duration", hint="e.g. 90m, 2h, 30d, or none")
    return round(float(found[1]) * _SECONDS[found[2]])


def days_of(text: str, option: str) -> int | None:
    """The days of ``7d`` or ``2w``; None for `NONE`.

    Raises:
        InvalidInput: it is no duration of whole days.
    """
    return _whole(text, option, _SECONDS["d"], "days", "7d")


def hours_of(text: str, option: str) -> int | None:
    """The hours of ``26h`` or ``2d``; None for `NONE`.

    Raises:
        InvalidInput: it is no duration of whole hours.
    """
    return _whole(text, option, _SECONDS["h"], "hours", "26h")


def bytes_of(text: str, option: str) -> int | None:
    """The bytes of ``50GB`` (of thousands) or ``1TiB`` (of 1024); None for `NONE`.

    Raises:
        InvalidInput: it is no size.
    """
    if text == NONE:
        return None
    found = _SIZE.fullmatch(text)
    if found is None or found[2].lower() not in _BYTES:
        raise InvalidInput(f"{option} is no size", hint="e.g. 500MB, 50GB, 1TiB, or none")
    return round(float(found[1]) * _BYTES[found[2].lower()])


def _whole(text: str, option: str, unit: int, units: str, example: str) -> int | None:
    seconds = seconds_of(text, option)
    if seconds is None:
        return None
    if not seconds or seconds % unit:
        raise InvalidInput(f"{option} is no number of whole {units}", hint=f"e.g. {example}, or none")
    return seconds // unit
