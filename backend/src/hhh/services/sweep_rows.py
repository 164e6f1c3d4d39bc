"""Rows of the own database, and scratch folders, that belong to nothing any more."""

from __future__ import annotations

from datetime import timedelta

from hhh.core import scratch
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import Action, BackupCopy, BackupStatus, JobState, Result
from hhh.repositories import backups as backup_rows
from hhh.repositories import jobs as job_rows
from hhh.repositories import sweeping as rows
from hhh.services import audit, catalogue, job_ends
from hhh.services.catalogue import Outcome
from hhh.services.pruning import Pruning
from hhh.services.sweep_report import FindingKind, SweepFinding, SweepReport

#: For so long a removal may be under way, or wait for the prune that goes on with it.
_REMOVAL_PATIENCE = timedelta(hours=1)


def check_scratch(settings: Settings, report: SweepReport) -> None:
    """Removes the scratch folders of processes that were killed."""
    for folder in scratch.left_behind(settings.scratch_dir):
        _tell(report, FindingKind.SCRATCH_LEFT, str(folder), "A killed process left it", "removed")
    if report.repair:
        scratch.sweep(settings.scratch_dir)


def check_leases(database: Database, report: SweepReport, *, tidied: bool) -> None:
    """Tells of running jobs whose worker is silent; seeing to them is what every worker does by itself.

    Args:
        database: the own one.
        report: to tell.
        tidied: whether a worker has just done so.
    """
    with database.snapshot() as session:
        silent = rows.silent_jobs(session, before=job_rows.server_time(session))
    for job in silent:
        detail = f"The {job.kind} of {job.target} runs, and its worker {job.worker} gives no sign of life; "
        hint = "try again in a minute" if tidied else "the next worker that looks hands it on"
        report.add(SweepFinding(FindingKind.JOB_WITHOUT_WORKER, "", job.id, detail + hint))


def check_jobs(database: Database, report: SweepReport) -> None:
    """Ends what waits or runs by its row alone."""
    with database.transaction() if report.repair else database.snapshot() as session:
        if report.repair:
            backup_rows.lock_totals(session)  # of two sweeps at once, the second finds nothing
        now = utcnow()
        for backup in rows.backups_without_job(session):
            detail = f"{backup.backup_file} of {backup.target} is {backup.status.lower()}, and no job is on it"
            _tell(report, FindingKind.BACKUP_WITHOUT_JOB, backup.id, detail, "recorded as failed")
            if report.repair:
                failed = Outcome(BackupStatus.FAILED, now, error="Its job was lost")
                catalogue.finish(session, backup.id, failed)
                audit.record(
                    session,
                    Action.BACKUP,
                    backup.id,
                    target=backup.target,
                    result=Result.FAILED,
                    detail={"error": failed.error},
                )
        for job in rows.jobs_without_record(session):
            detail = f"The {job.kind} of {job.target} is {job.state}, and what it makes has no row"
            ended = report.repair and job_ends.end_queued(
                session, job.id, state=JobState.FAILED, error="Its own row was lost", now=now
            )
            _tell(report, FindingKind.JOB_WITHOUT_RECORD, job.id, detail, "ended as failed" if ended else "")


def check_removals(database: Database, pruning: Pruning, report: SweepReport) -> None:
    """Goes on with what has a tombstone and is still there."""
    with database.snapshot() as session:
        found = rows.removals(session, before=utcnow() - _REMOVAL_PATIENCE)
    for row in found:
        left: list[str] = [_still_there(copy) for copy in row.copies]
        done = ""
        if report.repair and (removed := pruning.remove(row.id)) is not None:
            left = [f"{each.storage}: {each.error}" for each in removed.left]
            done = "" if left else "removed"
        detail = f"{row.backup_file} of {row.target} is being removed since {row.deleted_at:%Y-%m-%d %H:%M} UTC"
        if left:
            detail += f", and still there: {'; '.join(left)}"
        _tell(report, FindingKind.REMOVAL_UNFINISHED, row.id, detail, done)


def check_lost(database: Database, report: SweepReport) -> None:
    """Tells of backups without any whole copy. Their rows stay: what was there, and when, is worth knowing."""
    with database.snapshot() as session:
        found = rows.lost(session, report.incomplete)
    for row in found:
        stores = ", ".join(copy.storage for copy in row.copies) or "no store"
        detail = (
            f"{row.backup_file} of {row.target} can't be restored any more: no whole copy is left in {stores}; "
            "its row is kept. If the objects are somewhere, bring them back; take a new backup"
        )
        report.add(SweepFinding(FindingKind.BACKUP_LOST, "", row.id, detail))


def _still_there(copy: BackupCopy) -> str:
    return f"{copy.storage}: {copy.error or copy.status}"


def _tell(report: SweepReport, kind: FindingKind, subject: str, detail: str, done: str) -> None:
    report.add(SweepFinding(kind, "", subject, detail, done if report.repair else ""))
