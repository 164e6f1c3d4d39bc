"""Cursors of pages that are ordered newest first, and ids that clients hand in."""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import UTC, datetime

from hhh.core.errors import InvalidInput
from hhh.repositories.backups import Position


def encode(created_at: datetime, row_id: str) -> str:
    """The cursor of the page after that row."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {row_id}".encode()).decode()


def decode(cursor: str) -> Position:
    """The row that the page comes after.

    Raises:
        InvalidInput: it is not a cursor that a page handed out.
    """
    try:
        moment, _, row_id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(" ")
        created_at = datetime.fromisoformat(moment).astimezone(UTC)
    except (ValueError, OverflowError, binascii.Error):
        raise _foreign_cursor() from None
    if not is_id(row_id):
        raise _foreign_cursor()
    return Position(created_at, row_id)


def is_id(text: str) -> bool:
    """Whether it may be an id of ours; another text may hold what no database takes."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _foreign_cursor() -> InvalidInput:
    return InvalidInput("The cursor is not one that a page handed out", hint="leave it out to begin anew")
