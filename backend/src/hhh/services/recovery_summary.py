"""How a target stands, in one short sentence: for a card, a line of a list, the subject of a message."""

from __future__ import annotations

from datetime import datetime, timedelta

from hhh.core.text import counted, last_line
from hhh.schemas.recoverability import RecoverabilityState
from hhh.services.recovery_state import Known, is_after

#: So much of what a tool said is told.
_LONGEST = 120
_MINUTE, _HOUR, _LONG = timedelta(minutes=1), timedelta(hours=1), timedelta(days=2)


def summary(known: Known, state: RecoverabilityState, *, restore_seconds: float | None) -> str:
    """One sentence without its full stop; the worst that `judged` tells, as it tells it.

    Args:
        known: of the target.
        state: that `judged` made of it.
        restore_seconds: how long the newest proof took to restore it; None where that is not known.
    """
    if state == "failing":
        return _failing(known)
    if state == "late":
        return f"Last backup {_age(known, known.good.created_at)} ago, overdue" if known.good else _without(known)
    if state == "unproven":
        return _unproven(known)
    return _healthy(known, restore_seconds)


def _failing(known: Known) -> str:
    if known.failed and is_after(known.failed, known.stored):
        return f"Last backup failed{_because(known.failed.error)}"
    if known.stored != known.good:
        return "No store has a good copy of the newest backup any more"
    against = known.against
    return f"The newest backup failed its verification{_because(against.error if against else None)}"


def _unproven(known: Known) -> str:
    if known.good is None:
        return _without(known)
    if known.proven is None:
        return f"Backed up {_age(known, known.good.created_at)} ago, but never proven"
    return f"Not proven for {_age(known, known.proven.created_at)}"


def _healthy(known: Known, restore_seconds: float | None) -> str:
    if known.proven is None:
        return "Proven restorable"
    lasts = f", restores in about {_about(restore_seconds)}" if restore_seconds is not None else ""
    return f"Proven restorable {_age(known, known.proven.created_at)} ago{lasts}"


def _without(known: Known) -> str:
    if known.stored is not None:
        return "None of its backups is left"
    if known.ahead:
        return "Its only backups are dated in the future"
    return "No backup has succeeded yet" if known.failed else "Never backed up"


def _because(error: str | None) -> str:
    last = last_line(error).removesuffix(".")
    if not last:
        return ""
    if len(last) > _LONGEST and last.endswith(")"):  # what to do stands in the reasons
        last = last.partition(" (")[0]
    return f": {last}" if len(last) <= _LONGEST else f": {last[: _LONGEST - 1].rstrip()}…"


def _age(known: Known, moment: datetime) -> str:
    age = max(timedelta(), known.now - moment)
    if age < _HOUR:
        return f"{max(1, age // _MINUTE)} min"
    return f"{age // _HOUR} h" if age < _LONG else counted(age.days, "day", "days")


def _about(seconds: float) -> str:
    span = timedelta(seconds=seconds)
    if span < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if span < 2 * _HOUR:
        return f"{round(span / _MINUTE)} min"
    return f"{round(span / _HOUR)} h"
