"""The catalogue on each kind of own database: names, totals, pages."""

import base64
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NotFound
from hhh.models import BackupStatus
from hhh.schemas.backup import BackupFilter, BackupSort
from hhh.services import catalogue
from hhh.services.catalogue import Catalogue, Outcome

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def begin(database: Database, *, target: str = "app", at: datetime = NOON) -> str:
    backup_id = str(uuid.uuid4())
    with database.transaction() as session:
        catalogue.begin(session, backup_id, target=target, created_at=at)
    return backup_id


def finish(database: Database, backup_id: str, status: BackupStatus, size: int = 0) -> None:
    with database.transaction() as session:
        catalogue.finish(session, backup_id, Outcome(status, NOON, stored_size=size))


def files(database: Database) -> list[str]:
    page = Catalogue(database).page(BackupFilter(), cursor=None, limit=200)
    return sorted(item.backup_file for item in page.items)


def test_names_tell_the_second_and_are_unique_per_target(own_database: Database) -> None:
    for microseconds in (0, 1, 999_999):
        begin(own_database, at=NOON + timedelta(microseconds=microseconds))
    begin(own_database, target="other")
    begin(own_database, at=NOON + timedelta(seconds=1))
    assert files(own_database) == [
        "backup_20250101_120000.sql",
        "backup_20250101_120000.sql",
        "backup_20250101_120000_2.sql",
        "backup_20250101_120000_3.sql",
        "backup_20250101_120001.sql",
    ]


def test_names_are_of_utc_whatever_zone_the_moment_comes_in(own_database: Database) -> None:
    begin(own_database, at=datetime.fromisoformat("2025-01-01T02:30:00+05:30"))
    assert files(own_database) == ["backup_20241231_210000.sql"]
    (entry,) = Catalogue(own_database).page(BackupFilter(), cursor=None, limit=1).items
    assert entry.created_at == datetime(2024, 12, 31, 21, tzinfo=UTC)


def test_totals_count_what_is_finished_and_cancelled_as_failed(own_database: Database) -> None:
    read = Catalogue(own_database)
    assert read.stats().model_dump() == {
        "total_backups": 0,
        "successful_backups": 0,
        "failed_backups": 0,
        "total_backup_size": 0,
        "latest_backup": None,
    }
    begin(own_database)
    stored = begin(own_database, at=NOON + timedelta(seconds=1))
    finish(own_database, stored, BackupStatus.SUCCESS, 2**40)
    finish(own_database, begin(own_database, at=NOON + timedelta(seconds=2)), BackupStatus.FAILED)
    finish(own_database, begin(own_database, at=NOON + timedelta(seconds=3)), BackupStatus.CANCELLED)
    stats = read.stats()
    assert (stats.total_backups, stats.successful_backups, stats.failed_backups) == (3, 1, 2)
    assert stats.total_backup_size == 2**40
    assert stats.latest_backup is not None
    assert stats.latest_backup.file == "backup_20250101_120001.sql"
    assert [entry.status for entry in read.logs(limit=50, offset=0)] == [
        "BackupStatus.FAILED",
        "BackupStatus.FAILED",
        "BackupStatus.SUCCESS",
    ]


def test_totals_of_many_at_once_add_up(own_database: Database) -> None:
    started = [begin(own_database, target=f"t{number}") for number in range(24)]
    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(lambda backup_id: finish(own_database, backup_id, BackupStatus.SUCCESS, 10), started))
    stats = Catalogue(own_database).stats()
    assert (stats.successful_backups, stats.total_backup_size) == (24, 240)


def test_an_ending_that_is_rolled_back_is_not_counted(own_database: Database) -> None:
    backup_id = begin(own_database)
    with own_database.transaction() as session:
        catalogue.finish(session, backup_id, Outcome(BackupStatus.SUCCESS, NOON, stored_size=10))
        session.flush()
        session.rollback()
    assert Catalogue(own_database).stats().total_backups == 0
    assert Catalogue(own_database).get(backup_id).status == "queued"


def test_pages_go_on_where_the_last_one_ended_also_when_new_ones_come(own_database: Database) -> None:
    read = Catalogue(own_database)
    # Of one moment, so that only ids tell their order.
    old = [begin(own_database, target=f"t{number}") for number in range(5)]
    first = read.page(BackupFilter(), cursor=None, limit=2)
    begin(own_database, at=NOON + timedelta(seconds=1))
    second = read.page(BackupFilter(), cursor=first.next_cursor, limit=2)
    third = read.page(BackupFilter(), cursor=second.next_cursor, limit=2)
    seen = [item.id for page in (first, second, third) for item in page.items]
    assert sorted(seen) == sorted(old)
    assert third.next_cursor is None


def test_pages_are_narrowed(own_database: Database) -> None:
    read = Catalogue(own_database)
    finish(own_database, begin(own_database), BackupStatus.FAILED)
    begin(own_database, target="other", at=NOON + timedelta(hours=1))
    narrowed = [
        BackupFilter(target="other"),
        BackupFilter(status=BackupStatus.QUEUED),
        BackupFilter(created_from=NOON + timedelta(hours=1)),
    ]
    for each in narrowed:
        assert [item.target for item in read.page(each, cursor=None, limit=9).items] == ["other"]
    (early,) = read.page(BackupFilter(created_before=NOON + timedelta(hours=1)), cursor=None, limit=9).items
    assert early.target == "app"


def test_foreign_cursors_and_ids_are_refused(own_database: Database) -> None:
    read = Catalogue(own_database)
    for cursor in ("x", "====", "MjAyNQ==", "MjAyNS0wMS0wMVQxMjowMDowMCB4", "\N{SNOWMAN}"):
        with pytest.raises(InvalidInput, match="cursor"):
            read.page(BackupFilter(), cursor=cursor, limit=1)
    for size in ("1", "size=", "size=-1", "size=1e3", f"size={10**18}"):
        cursor = base64.urlsafe_b64encode(f"{size} {uuid.uuid4()}".encode()).decode()
        with pytest.raises(InvalidInput, match="cursor"):
            read.page(BackupFilter(), sort=BackupSort.LARGEST, cursor=cursor, limit=1)
    for backup_id in ("", "x", "\0", "\ud800", str(uuid.uuid4()), str(uuid.uuid4()).upper()):
        with pytest.raises(NotFound):
            read.get(backup_id)
