"""A restored copy of the service's own database, made ready to take the live one's place."""

import contextlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from hhh import migrations
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, RestoreFailed
from hhh.core.version import PRODUCT_VERSION
from hhh.models import (
    Action,
    AlertChannel,
    AlertDelivery,
    BackupLog,
    BackupStatus,
    Job,
    JobKind,
    JobState,
    RefreshToken,
    Restore,
    Role,
    Trouble,
    User,
    UserSession,
    Verification,
    VerificationStatus,
)
from hhh.repositories import audit as audit_rows
from hhh.repositories import backups, installation, retention, sweeping
from hhh.repositories.audit import Filter
from hhh.services import audit, catalogue, versions
from hhh.services.audit_carrying import follow_on
from hhh.services.audit_chain import event_hash
from hhh.services.catalogue import Catalogue
from hhh.services.deletion import Deletion
from hhh.services.installation import Identity
from hhh.services.own_database import OwnDatabase
from hhh.services.stores import StoreService
from hhh.storages.registry import open_storage
from support.own_databases import migrated
from support.postgres import PostgresServer
from support.stored_rows import stored_backup_row

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def copy(own_database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Another database of the same kind, closed: who prepares it has it alone."""
    drop = contextlib.ExitStack()
    if own_database.file is not None:
        url = f"sqlite:///{tmp_path}/hhh.db.restore_12345678"
    else:
        server: PostgresServer = request.getfixturevalue("any_postgres")
        name = server.create_database()
        url = server.url(name)
        drop.callback(server.drop_database, name)
    with drop, migrated(url) as database:
        database.close()
        yield database


def prepare(live: Database, copy: Database) -> None:
    settings = Settings()
    own = OwnDatabase(
        settings,
        live,
        Identity(settings, live),
        stores=StoreService(settings, live, open_storage(settings.default_storage_url)),
    )
    own.prepare("app", copy.url.render_as_string(hide_password=False))


def job_of(kind: JobKind, target: str = "app") -> Job:
    return Job(
        id=str(uuid.uuid4()),
        kind=kind,
        target=target,
        state=JobState.RUNNING,
        attempt=1,
        worker="worker",
        lease_expires_at=NOON + timedelta(days=1),
        cancel_requested=False,
        created_at=NOON,
    )


def begin_backup(database: Database, target: str = "app") -> str:
    job = job_of(JobKind.BACKUP, target)
    with database.transaction() as session:
        session.add(job)
        catalogue.begin(session, job.id, target=target, created_at=NOON)
        catalogue.start(session, job.id)
    return job.id


def begin_restore(database: Database) -> str:
    job = job_of(JobKind.RESTORE)
    restore = Restore(
        id=job.id,
        target="app",
        destination_target="app",
        mode="replace",
        destination="app",
        token="12345678",
        tables=[],
        acknowledge=[],
        dry_run=False,
        requested_by="root@localhost",
        address="127.0.0.1",
        status=JobState.RUNNING,
        created_at=NOON,
        unfinished=True,
    )
    with database.transaction() as session:
        session.add_all([job, restore])
    return job.id


def begin_verification(database: Database) -> str:
    job = job_of(JobKind.VERIFY)
    verification = Verification(
        id=job.id,
        backup_id=str(uuid.uuid4()),
        target="app",
        backup_file="backup_20250101_120000.sql",
        backup_created_at=NOON,
        level="proven",
        status=VerificationStatus.RUNNING,
        requested_by="cli",
        created_at=NOON,
    )
    with database.transaction() as session:
        session.add_all([job, verification])
    return job.id


def tell(database: Database, *, next_try_at: datetime | None) -> None:
    channel = AlertChannel(id=str(uuid.uuid4()), name="hook", sealed_url="-", enabled=True, created_at=NOON)
    told = {"kind": "backup-failed", "subject": "shop"}
    message = AlertDelivery(id=str(uuid.uuid4()), channel_id=channel.id, event="begun", title="-", body="-", **told)
    message.created_at, message.next_try_at = NOON, next_try_at
    with database.transaction() as session:
        session.add(channel)
        session.flush()
        session.add_all([message, Trouble(fingerprint="-", message={}, since=NOON, told_at=NOON, **told)])


def sign_in(database: Database) -> None:
    user, family = str(uuid.uuid4()), str(uuid.uuid4())
    with database.transaction() as session:
        session.add(User(id=user, email="root@localhost", password_hash="-", role=Role.SUPER_ADMIN, created_at=NOON))
        session.flush()
        session.add(UserSession(id=family, user_id=user, created_at=NOON, expires_at=NOON))
        session.flush()
        session.add(RefreshToken(token_hash="0" * 64, session_id=family, issued_at=NOON))


def count(database: Database, model: type) -> int:
    with database.snapshot() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


def test_everybody_is_signed_out_and_stays_a_user(own_database: Database, copy: Database) -> None:
    sign_in(copy)
    prepare(own_database, copy)
    assert [count(copy, model) for model in (RefreshToken, UserSession, User)] == [0, 0, 1]


def test_what_ran_when_the_backup_was_taken_has_failed_and_is_counted(own_database: Database, copy: Database) -> None:
    backup = begin_backup(copy)
    prepare(own_database, copy)
    assert Catalogue(copy).get(backup).status == "failed"
    assert Catalogue(copy).stats().failed_backups == 1
    with copy.snapshot() as session:
        assert session.scalars(select(Job.state)).all() == [JobState.FAILED]


def test_what_runs_now_comes_over_and_keeps_its_target_busy(own_database: Database, copy: Database) -> None:
    restore, backup = begin_restore(own_database), begin_backup(own_database, "other")
    prepare(own_database, copy)
    with copy.snapshot() as session:
        assert {job.id: job.state for job in session.scalars(select(Job))} == {restore: "running", backup: "running"}
        assert session.get_one(Restore, restore).unfinished
        assert session.get_one(BackupLog, backup).status == "RUNNING"
    assert Catalogue(copy).stats().total_backups == 0


def test_a_verification_of_that_time_says_nothing_and_one_that_runs_now_goes_on(
    own_database: Database, copy: Database
) -> None:
    then, now = begin_verification(copy), begin_verification(own_database)

    prepare(own_database, copy)

    with copy.snapshot() as session:
        ended, running = session.get_one(Verification, then), session.get_one(Verification, now)
        assert (ended.status, ended.error_code) == ("inconclusive", "ERR_VERIFICATION_INCONCLUSIVE")
        assert ended.finished_at is not None
        assert session.get_one(Job, then).state == JobState.FAILED
        assert (running.status, running.finished_at) == ("running", None)
        assert session.get_one(Job, now).state == JobState.RUNNING


def test_what_is_being_removed_now_does_not_come_back_and_is_not_counted(
    own_database: Database, copy: Database
) -> None:
    removed = stored_backup_row(own_database, size=7)
    kept = stored_backup_row(own_database, size=5)
    since = stored_backup_row(own_database, size=3)
    with copy.transaction() as there, own_database.transaction() as live:
        for backup_id in (removed, kept):  # it was taken while both were there
            there.merge(live.get_one(BackupLog, backup_id, options=[selectinload(BackupLog.copies)]))
            backups.add_to_totals(there, status=BackupStatus.SUCCESS, stored_bytes=7 if backup_id == removed else 5)
    for backup_id in (removed, since):
        Deletion(own_database).delete(backup_id, by="root@localhost", force=backup_id)
    prepare(own_database, copy)
    stats = Catalogue(copy).stats()
    assert (stats.total_backups, stats.successful_backups, stats.total_backup_size) == (1, 1, 5)
    with copy.snapshot() as session:
        assert retention.due_removals(session, "app", now=utcnow()) == [removed, since]
        assert retention.get_removed(session, removed) is not None
        assert backups.get(session, kept) is not None


def test_a_sweep_is_due_since_those_of_its_time_saw_other_stores(own_database: Database, copy: Database) -> None:
    swept = job_of(JobKind.SWEEP, "*")
    swept.state, swept.created_at = JobState.SUCCESS, utcnow()
    with copy.transaction() as session:
        session.add(swept)
    prepare(own_database, copy)
    with copy.snapshot() as session:
        assert sweeping.last_sweep(session, now=utcnow()) is None


def test_what_waited_to_be_told_then_is_not_told_now_and_what_is_wrong_now_is_looked_for_anew(
    own_database: Database, copy: Database
) -> None:
    tell(copy, next_try_at=NOON)
    prepare(own_database, copy)
    assert (count(copy, AlertDelivery), count(copy, Trouble), count(copy, AlertChannel)) == (0, 0, 1)


def test_what_was_told_then_stays_on_record(own_database: Database, copy: Database) -> None:
    tell(copy, next_try_at=None)
    prepare(own_database, copy)
    assert count(copy, AlertDelivery) == 1


def test_a_restore_that_was_under_way_then_and_is_over_now_is_as_it_is_now(
    own_database: Database, copy: Database
) -> None:
    restore = begin_restore(copy)
    with copy.snapshot() as session, own_database.transaction() as live:
        ended = live.merge(session.get_one(Restore, restore))
        ended.status, ended.unfinished = JobState.SUCCESS, False
    prepare(own_database, copy)
    with copy.snapshot() as session:
        assert session.get_one(Restore, restore).status == "success"
        assert session.get_one(Job, restore).state == "failed"


def test_a_copy_of_an_older_version_is_migrated_first(own_database: Database, copy: Database) -> None:
    command.downgrade(migrations.alembic_config(copy), "0002")
    copy.close()
    restore = begin_restore(own_database)
    prepare(own_database, copy)
    assert not migrations.pending(copy)
    with copy.snapshot() as session:
        assert session.get(Restore, restore) is not None


def test_a_copy_of_a_newer_version_is_refused(own_database: Database, copy: Database) -> None:
    with copy.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    copy.close()
    with pytest.raises(ConfigurationError, match="newer version"):
        prepare(own_database, copy)


def test_a_copy_of_a_newer_program_with_the_same_tables_is_refused(own_database: Database, copy: Database) -> None:
    with copy.transaction() as session:
        versions.record(session)
        installation.get(session).program_version = "99.0.0"
    copy.close()

    with pytest.raises(ConfigurationError, match=r"the installation is of 99\.0\.0"):
        prepare(own_database, copy)


def test_a_restored_copy_is_of_this_version(own_database: Database, copy: Database) -> None:
    prepare(own_database, copy)

    with copy.snapshot() as session:
        assert installation.program_version(session) == PRODUCT_VERSION


def test_what_is_no_database_of_this_service_never_takes_its_place(own_database: Database, copy: Database) -> None:
    command.downgrade(migrations.alembic_config(copy), "base")
    with pytest.raises(RestoreFailed, match="not one of this service's own"):
        prepare(own_database, copy)
    assert not migrations.is_begun(copy)


def record(database: Database, *subjects: str) -> None:
    for subject in subjects:
        audit.record_alone(database, Action.BACKUP, subject)


def recorded(database: Database) -> list[str]:
    with database.snapshot() as session:
        return [event.subject for event in audit_rows.batch(session, Filter(), after=0, until=2**31)]


def assert_one_chain(database: Database) -> None:
    with database.snapshot() as session:
        events, head = audit_rows.batch(session, Filter(), after=0, until=2**31), audit_rows.head(session)
    assert all(event.hash == event_hash(event) for event in events)
    assert [event.previous_hash for event in events[1:]] == [event.hash for event in events[:-1]]
    assert (head.seq, head.hash) == (events[-1].seq, events[-1].hash)


def test_what_the_audit_log_tells_since_survives(own_database: Database, copy: Database) -> None:
    record(own_database, *(f"{number}" for number in range(5)))
    with own_database.snapshot() as session:
        before = audit_rows.batch(session, Filter(), after=0, until=2)
    follow_on(copy, before)

    prepare(own_database, copy)

    assert recorded(copy) == ["0", "1", "2", "3", "4"]
    assert_one_chain(copy)
    record(copy, "5")
    assert_one_chain(copy)


def test_two_logs_are_not_made_one(own_database: Database, copy: Database) -> None:
    record(own_database, "a", "b", "c")
    record(copy, "of another installation")

    prepare(own_database, copy)

    assert recorded(copy) == ["of another installation"]


def test_an_undo_keeps_what_was_recorded_since_as_well(own_database: Database, copy: Database) -> None:
    record(own_database, "before", "asked for", "done")
    with own_database.snapshot() as session:
        events = audit_rows.batch(session, Filter(), after=0, until=10)
    follow_on(copy, events[:1])

    follow_on(copy, events)
    follow_on(copy, events)

    assert recorded(copy) == ["before", "asked for", "done"]
    assert_one_chain(copy)


def test_what_was_recorded_since_a_restore_is_found_though_the_clock_went_back(
    own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(own_database, "before", "a-restore")
    monkeypatch.setattr("hhh.services.audit.utcnow", lambda: datetime(2020, 1, 1, tzinfo=UTC))
    record(own_database, "later")

    with own_database.snapshot() as session:
        assert [event.subject for event in audit_rows.recorded_since(session, "a-restore")] == ["a-restore", "later"]
        assert len(audit_rows.recorded_since(session, "unknown")) == 3
