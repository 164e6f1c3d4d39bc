"""Levels of verification, compared by the own database."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from hhh.schemas.verification import LEVELS


def reaches(
    level: InstrumentedAttribute[str], asked: InstrumentedAttribute[str] | InstrumentedAttribute[str | None]
) -> ColumnElement[bool]:
    """Whether a level includes another one."""
    return or_(*(and_(asked == least, level.in_(LEVELS[number:])) for number, least in enumerate(LEVELS)))
