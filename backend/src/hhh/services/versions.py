"""Which version of this program an installation is of: its processes, on however many machines, are all of one.

Versions of one series (``1.4.0`` and ``1.4.2``) work together; of two series the older is refused, and a process that
finds a newer one ends. docs/upgrading.md has the order in which machines are brought to another series.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh import migrations
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from hhh.core.text import listed
from hhh.core.version import PRODUCT_VERSION
from hhh.models import WorkerRow
from hhh.repositories import installation as rows
from hhh.repositories import jobs as job_rows
from hhh.repositories import workers as worker_rows
from hhh.repositories.workers import Living
from hhh.services.workers import LEASE

_SERIES = re.compile(r"(\d+)\.(\d+)")
_PAGE = "docs/upgrading.md has the order"


def series(of: str) -> tuple[int, int]:
    """Major and minor; ``(0, 0)`` of what is no version."""
    found = _SERIES.match(of)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def bring_to_this_version(settings: Settings, database: Database) -> bool:
    """Migrates the own database if that is needed, and makes the installation one of this version.

    Returns:
        Whether it was migrated.

    Raises:
        ConfigurationError: the installation is of a newer version, or workers of an older one are alive; or a
            recovery has not filled the database yet.
        DatabaseUnavailable: the database does not answer.
    """
    _refuse_unfinished(database)
    migrates = migrations.pending(database)
    if migrates:
        _refuse_beside_older(settings, database)
        migrations.upgrade(database)
    join(settings, database)
    return migrates


def join(settings: Settings, database: Database) -> None:
    """Makes the installation one of this version, if it is of an older one.

    Raises:
        ConfigurationError, DatabaseUnavailable: as for `bring_to_this_version`.
    """
    with database.snapshot() as session:
        known = rows.program_version(session)
        if known == PRODUCT_VERSION:
            return
        if known is not None:
            _refuse_newer(session, known)
    if known is None or series(known) < series(PRODUCT_VERSION):
        _refuse_beside_older(settings, database)
    with contextlib.suppress(IntegrityError), database.transaction() as session:  # another process was first
        record(session)


def record(session: Session) -> None:
    """Writes that the installation is of this version."""
    if rows.installation_id(session) is None:
        rows.create_installation(session)
    rows.get(session).program_version = PRODUCT_VERSION


def refuse_newer(database: Database) -> None:
    """Refuses an installation of a newer version.

    Raises:
        ConfigurationError: it is of one.
        DatabaseUnavailable: the database does not answer.
    """
    with database.snapshot() as session:
        known = rows.program_version(session)
        if known is not None:
            _refuse_newer(session, known)


def newer_than_this(session: Session) -> str | None:
    """The version of the installation, if it is newer than this program; to be asked again and again."""
    known = rows.program_version(session)
    return known if known is not None and series(known) > series(PRODUCT_VERSION) else None


def of_other_versions(database: Database) -> Sequence[Living]:
    """The living workers that are of another series than this program."""
    with database.snapshot() as session:
        return [each for each in _living(session) if series(each.version) != series(PRODUCT_VERSION)]


def _refuse_unfinished(database: Database) -> None:
    """Its jobs would run as if they had been asked for now, among them restores that waited."""
    if migrations.is_filling(database):
        raise ConfigurationError(
            "The service's own database is not restored to its end: `hhh recover-service` works on it, or was killed",
            hint="let it end, or run it again: it begins anew",
        )


def _refuse_newer(session: Session, known: str) -> None:
    if series(known) <= series(PRODUCT_VERSION):
        return
    hosts = sorted({each.host for each in _living(session) if series(each.version) == series(known)})
    where = f", which runs on {listed(hosts)}" if hosts else ""
    raise ConfigurationError(
        f"This is HHH Backup {PRODUCT_VERSION}, and the installation is of {known}{where}",
        hint=f"install {known} here. To go back to {PRODUCT_VERSION} everywhere, restore the backup that was taken "
        "before the upgrade: see docs/upgrading.md",
    )


def _refuse_beside_older(settings: Settings, database: Database) -> None:
    """On one machine whatever runs ends by itself; on many, somebody may be in the middle of something."""
    if not settings.jobs_database_url.get_secret_value() or not inspect(database.engine).has_table(
        WorkerRow.__tablename__
    ):
        return
    with database.snapshot() as session:
        older = [each for each in _living(session) if series(each.version) < series(PRODUCT_VERSION)]
    if older:
        told = listed([f"{each.name} on {each.host} ({each.version})" for each in older])
        raise ConfigurationError(
            f"This is HHH Backup {PRODUCT_VERSION}, and workers of an older version are at work: {told}",
            hint=f"stop them first: {_PAGE}. Of one that was killed, its sign of life is believed for "
            f"{LEASE.total_seconds():.0f} seconds",
        )


def _living(session: Session) -> Sequence[Living]:
    now = job_rows.server_time(session)
    return worker_rows.living(session, since=now - LEASE, until=now + LEASE)
