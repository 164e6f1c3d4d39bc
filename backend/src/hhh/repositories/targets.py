"""Rows of registered targets, and what goes with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from hhh.models import BackupLog, BackupStatus, Job, JobKind, Schedule, Target
from hhh.models.job import JobState


def find(session: Session, name: str, *, locked: bool = False) -> Target | None:
    """The target of that name; locked, so that others who ask for it so wait until the transaction ends."""
    asked = select(Target).where(Target.name == name)
    return session.scalar(asked.with_for_update() if locked else asked)


def names(session: Session) -> Sequence[str]:
    """The names of all registered targets, in their order."""
    return session.scalars(select(Target.name).order_by(Target.name)).all()


def all_by_name(session: Session) -> Sequence[Target]:
    """Every registered target, in the order of names."""
    return session.scalars(select(Target).order_by(Target.name)).all()


def names_of(session: Session, engine: str) -> Sequence[str]:
    """The names of the targets of an engine, in their order."""
    return session.scalars(select(Target.name).where(Target.engine == engine).order_by(Target.name)).all()


def among(session: Session, some: Collection[str]) -> Sequence[Target]:
    """The targets of these names, of which there are not many."""
    return session.scalars(select(Target).where(Target.name.in_(some))).all()


def kind_held(session: Session, name: str) -> str | None:
    """The engine of a target, which stays as it is until this transaction ends; None if there is none."""
    return session.scalar(select(Target.engine).where(Target.name == name).with_for_update(read=True))


def active_kinds(session: Session, name: str) -> Sequence[str]:
    """The kinds of the jobs that wait or run for a target."""
    active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    return session.scalars(select(Job.kind).where(Job.target == name, active, Job.kind != JobKind.SWEEP)).all()


def stored_backups(session: Session, name: str) -> int:
    """How many backups of a target are stored and not being removed."""
    stored = select(func.count()).where(
        BackupLog.target == name, BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None)
    )
    return session.scalar(stored) or 0


def remove_schedules(session: Session, name: str) -> Sequence[Schedule]:
    """Removes the schedules of a target; returns what they were."""
    gone = session.scalars(select(Schedule).where(Schedule.target == name).order_by(Schedule.created_at)).all()
    session.execute(
        delete(Schedule).where(Schedule.target == name).execution_options(synchronize_session=False),
    )
    return gone


def remove(session: Session, name: str) -> None:
    """Removes a target; its backups stay."""
    session.execute(delete(Target).where(Target.name == name).execution_options(synchronize_session=False))
