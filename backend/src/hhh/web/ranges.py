"""Conditions and ranges of a request for something with an ETag (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.exceptions import HTTPException

_SINGLE_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))[ \t]*", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def is_known(headers: Mapping[str, str], etag: str) -> bool:
    """Whether ``If-None-Match`` names what is there: the client has it already.

    Args:
        headers: of the request.
        etag: of what is there, with its quotes.
    """
    known = headers.get("if-none-match", "")
    return known.strip() == "*" or etag in _TAG.findall(known)


def asked_range(headers: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """The first and the last byte that ``Range`` asks for; None means all.

    Several ranges, other units and what is no range are answered with all, as the RFC allows; so is a range of another
    version than the one that is there (``If-Range``; a date is never one, since no time of change is told).

    Raises:
        HTTPException: 416, it begins behind the end.
    """
    match = _SINGLE_RANGE.fullmatch(headers.get("range", ""))
    if match is None or headers.get("if-range", etag) != etag:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        begin, end = max(0, size - int(suffix)), size - 1
    else:
        begin, end = int(first), min(int(last) if last else size - 1, size - 1)
        if last and int(last) < int(first):
            return None  # no range
    if begin > end:
        raise HTTPException(416, f"The range begins behind the end, at {size}", {"Content-Range": f"bytes */{size}"})
    return begin, end
