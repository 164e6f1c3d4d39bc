"""Cursors of pages that are ordered by time or by size, and ids that clients hand in."""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import UTC, datetime

from hhh.core.errors import InvalidInput
from hhh.repositories.backups import Position, SizePosition

#: How a size begins in a cursor: some numbers can be read as dates.
_SIZE = "size="
#: No database has larger numbers.
_MOST_DIGITS = 18


def encode(created_at: datetime, row_id: str) -> str:
    """The cursor of the page after that row."""
    return _encoded(created_at.isoformat(), row_id)


def decode(cursor: str) -> Position:
    """The row that the page comes after.

    Raises:
        InvalidInput: it is not a cursor that a page handed out.
    """
    moment, row_id = _decoded(cursor)
    try:
        return Position(datetime.fromisoformat(moment).astimezone(UTC), row_id)
    except (ValueError, OverflowError):
        raise _foreign_cursor() from None


def encode_sized(size: int, row_id: str) -> str:
    """The same, of a page that is ordered by size."""
    return _encoded(f"{_SIZE}{size}", row_id)


def decode_sized(cursor: str) -> SizePosition:
    """The same, of a page that is ordered by size.

    Raises:
        InvalidInput: it is not a cursor that such a page handed out.
    """
    size, row_id = _decoded(cursor)
    digits = size.removeprefix(_SIZE)
    if not size.startswith(_SIZE) or not digits.isdecimal() or len(digits) > _MOST_DIGITS:
        raise _foreign_cursor()
    return SizePosition(int(digits), row_id)


def is_id(text: str) -> bool:
    """Whether it may be an id of ours; another text may hold what no database takes."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _encoded(place: str, row_id: str) -> str:
    return base64.urlsafe_b64encode(f"{place} {row_id}".encode()).decode()


def _decoded(cursor: str) -> tuple[str, str]:
    try:
        place, _, row_id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(" ")
    except (ValueError, binascii.Error):
        raise _foreign_cursor() from None
    if not is_id(row_id):
        raise _foreign_cursor()
    return place, row_id


def _foreign_cursor() -> InvalidInput:
    return InvalidInput("The cursor is not one that a page handed out", hint="leave it out to begin anew")
