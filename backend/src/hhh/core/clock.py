"""Time, always aware and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Now, in UTC."""
    return datetime.now(tz=UTC)


def isoformat(moment: datetime) -> str:
    """ISO 8601 in UTC to the second, ending in ``+00:00`` as the runbook prints it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")
