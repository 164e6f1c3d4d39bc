"""What the catalogue and the records of verifications tell of targets: of any number of them in one look.

Every query finds in an index what it looks for: the newest backups of a target, whatever the size of the catalogue.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, TypeAlias, TypeVarTuple

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, String, case, cast, func, literal, select
from sqlalchemy.orm import Session

from hhh.core.database import UtcDateTime
from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus, Schedule, Verification, VerificationStatus
from hhh.models.verification import CONCLUDED
from hhh.repositories.batches import as_table
from hhh.repositories.copies import IS_IN_A_STORE
from hhh.repositories.retention import IS_REFUTED, PROVEN

_Columns = TypeVarTuple("_Columns")
_Conditions: TypeAlias = Sequence[ColumnElement[bool]]

#: Stands in no moment and in no id.
_BETWEEN = "/"
_STORED = BackupLog.status == BackupStatus.SUCCESS


class Known(NamedTuple):
    """A backup, as far as it tells how its target stands."""

    id: str
    backup_file: str
    status: str
    created_at: datetime
    finished_at: datetime | None
    error: str | None


class Begun(NamedTuple):
    """A backup, as far as a state follows from it."""

    id: str
    created_at: datetime


class NewestBegun(NamedTuple):
    """As `Newest`, without those that no state follows from."""

    stored: Begun | None
    good: Begun | None
    proven: Begun | None
    failed: Begun | None


class Planned(NamedTuple):
    """A schedule that has a backup planned."""

    target: str
    cron: str
    time_zone: str
    jitter_seconds: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Newest:
    """The ids of those backups of a target that tell how it stands; None where there is none."""

    #: That was stored.
    stored: str | None
    #: That a store has.
    good: str | None
    #: That a store has, and a restore has proven, and no verification has refuted since.
    proven: str | None
    #: That failed.
    failed: str | None
    #: That ended, well or not.
    ended: str | None
    #: That was stored, and is dated after now.
    ahead: str | None

    @property
    def ids(self) -> frozenset[str]:
        """All of them."""
        every = (self.stored, self.good, self.proven, self.failed, self.ended, self.ahead)
        return frozenset(each for each in every if each is not None)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The newest verification of a backup at one level that came to one result."""

    id: str
    backup_id: str
    level: str
    status: str
    #: Whether it speaks against what the backup holds, and not against one of its copies alone.
    refuted: bool
    created_at: datetime
    finished_at: datetime | None
    error: str | None
    restore_seconds: float | None
    restore_bytes_per_second: float | None


def newest(session: Session, targets: Collection[str], *, until: datetime) -> Mapping[str, Newest]:
    """By target: its newest backups, without those that are being removed.

    Args:
        session: to read with.
        targets: their names.
        until: a backup that is dated later counts as none.
    """
    past = _past(until)
    kinds = *_of_states(past), (BackupLog.finished_at.is_not(None), past), (_STORED, ~past)
    found = _newest(session, targets, BackupLog.id, kinds)
    return {name: Newest(*ids) for name, *ids in found}


def newest_for_states(session: Session, targets: Collection[str], *, until: datetime) -> Mapping[str, NewestBegun]:
    """As `newest`; of backups it reads indexes alone, and no state follows from what else their rows hold."""
    begun = cache(_begun)  # one backup is most often the newest of its target in more than one way
    found = _newest(session, targets, _dated_id(session), _of_states(_past(until)))
    return {name: NewestBegun(*map(begun, each)) for name, *each in found}


def _past(until: datetime) -> ColumnElement[bool]:
    return BackupLog.created_at <= literal(until, UtcDateTime())


def _of_states(past: ColumnElement[bool]) -> Sequence[_Conditions]:
    return (
        (_STORED, past),
        (_STORED, past, IS_IN_A_STORE),
        # Not `_STORED` as well, which SQLite would look up instead: among all that are stored.
        (BackupLog.verified_level == PROVEN, past, IS_IN_A_STORE, ~IS_REFUTED),
        (BackupLog.status == BackupStatus.FAILED, past),
    )


def _newest(
    session: Session, targets: Collection[str], told: SQLColumnExpression[str], kinds: Sequence[_Conditions]
) -> Sequence[Any]:
    """By target: what is told of its newest backup of each kind."""
    asked = as_table(session, targets).cte("asked")
    of_it = select(told).where(BackupLog.target == asked.c.value, BackupLog.deleted_at.is_(None))
    newest_first = of_it.order_by(BackupLog.created_at.desc(), BackupLog.id.desc()).limit(1)
    return _rows(session, select(asked.c.value, *(newest_first.where(*kind).scalar_subquery() for kind in kinds)))


def _dated_id(session: Session) -> ColumnElement[str]:
    """When a backup was begun, and its id: a subquery answers one value."""
    begun: ColumnElement[str] = cast(BackupLog.created_at, String)
    if session.get_bind().dialect.name == "postgresql":
        begun = func.to_char(func.timezone("UTC", BackupLog.created_at), "YYYY-MM-DD HH24:MI:SS.US", type_=String())
    return begun + _BETWEEN + BackupLog.id


def _begun(dated_id: str | None) -> Begun | None:
    if dated_id is None:
        return None
    moment, _, backup_id = dated_id.partition(_BETWEEN)
    return Begun(backup_id, datetime.fromisoformat(moment).replace(tzinfo=UTC))


def backups(session: Session, ids: Collection[str]) -> Mapping[str, Known]:
    """By id: backups."""
    columns = (
        BackupLog.id,
        BackupLog.backup_file,
        BackupLog.status,
        BackupLog.created_at,
        BackupLog.finished_at,
        BackupLog.error,
    )
    found = _rows(session, select(*columns).where(BackupLog.id.in_(as_table(session, ids))))
    return {row.id: row for row in map(Known._make, found)}


def verified_at(session: Session, ids: Collection[str]) -> Mapping[str, datetime | None]:
    """By id: when backups were verified last; it stands behind their manifests, where it takes time to look."""
    among = BackupLog.id.in_(as_table(session, ids))
    return dict(session.execute(select(BackupLog.id, BackupLog.verified_at).where(among)).all())


def lacking_copies(session: Session, backup_ids: Collection[str]) -> Collection[str]:
    """Those of the given backups that are missing in a store where they should be."""
    among = BackupCopy.backup_id.in_(as_table(session, backup_ids))
    return {*session.scalars(select(BackupCopy.backup_id).where(among, BackupCopy.status != CopyStatus.STORED))}


def faulted(session: Session, backup_ids: Collection[str]) -> Collection[str]:
    """Those of the given backups that failed a verification, whatever was found out later."""
    among = Verification.backup_id.in_(as_table(session, backup_ids))
    return {*session.scalars(select(Verification.backup_id).where(among, _is_one_of(VerificationStatus.FAILED)))}


def conclusions(session: Session, backup_ids: Collection[str]) -> Sequence[Conclusion]:
    """The newest verification of each backup, level and result, but for those that were cancelled."""
    # What was found may be large: only rows that are answered are opened.
    place = func.row_number().over(
        partition_by=(Verification.backup_id, Verification.level, Verification.status, Verification.refuted),
        order_by=(Verification.created_at.desc(), Verification.id.desc()),
    )
    ranked = (
        select(Verification.id, place.label("place"))
        .where(Verification.backup_id.in_(as_table(session, backup_ids)), _is_one_of(*CONCLUDED))
        .subquery()
    )
    statement = (
        select(
            Verification.id,
            Verification.backup_id,
            Verification.level,
            Verification.status,
            Verification.refuted,
            Verification.created_at,
            Verification.finished_at,
            Verification.error,
            _of_proofs("restore_seconds"),
            _of_proofs("restore_bytes_per_second"),
        )
        .join(ranked, ranked.c.id == Verification.id)
        .where(ranked.c.place == 1)
    )
    return [Conclusion(*row) for row in _rows(session, statement)]


def _is_one_of(*states: VerificationStatus) -> ColumnElement[bool]:
    # Said of the others: by the states themselves SQLite would look at every verification that there ever was.
    return Verification.status.not_in([each for each in VerificationStatus if each not in states])


def _of_proofs(name: str) -> ColumnElement[float | None]:
    """A figure of what was found: that is only opened where there is one."""
    is_proof = (Verification.level == PROVEN) & (Verification.status == VerificationStatus.SUCCESS)
    return case((is_proof, Verification.result[name].as_float()))


def schedules_of_backups(session: Session, targets: Collection[str]) -> Sequence[Planned]:
    """The schedules of targets that have something planned, but for those of verifications."""
    columns = Schedule.target, Schedule.cron, Schedule.time_zone, Schedule.jitter_seconds, Schedule.created_at
    planned = Schedule.planned_at.is_not(None) & Schedule.verify_level.is_(None)
    found = _rows(session, select(*columns).where(Schedule.target.in_(as_table(session, targets)), planned))
    return [Planned._make(row) for row in found]


def _rows(session: Session, statement: Select[*_Columns]) -> Sequence[Any]:
    # By the connection: the session looks at each row for objects that it knows.
    return session.connection().execute(statement).all()
