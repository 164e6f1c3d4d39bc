"""The time zone of whoever reads, which their script tells in a cookie: days and typed times mean theirs."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.requests import Request

from hhh.core.errors import InvalidInput

COOKIE = "hhh_zone"


def zone_of(request: Request) -> ZoneInfo:
    """UTC where it is not known."""
    try:
        return ZoneInfo(request.cookies.get(COOKIE, "") or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):  # of a folder, or of a name that is no path
        return ZoneInfo("UTC")


def typed_moment(text: str, zone: ZoneInfo) -> datetime | None:
    """What was typed into an input of date and time, in UTC; None where it is empty.

    Raises:
        InvalidInput: it is no such time.
    """
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput("That is no date and time", hint="such as 2025-01-31T17:30") from None
