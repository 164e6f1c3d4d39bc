"""SQLite files restored: as new ones, and in the place of live ones."""

from pathlib import Path

import pytest

from support.sqlite_data import JournalMode, make_sqlite_database
from support.sqlite_restoring import TOKEN, SqliteRestoring, content
from support.sqlite_source import JOURNAL_MODES


@pytest.fixture
def restoring(tmp_path: Path) -> SqliteRestoring:
    return SqliteRestoring(tmp_path)


@pytest.mark.parametrize("backed_up", JOURNAL_MODES)
@pytest.mark.parametrize("live", JOURNAL_MODES)
def test_a_live_database_is_replaced_and_what_it_was_is_kept(
    restoring: SqliteRestoring, live: JournalMode, backed_up: JournalMode
) -> None:
    make_sqlite_database(restoring.source.path, journal_mode=backed_up)
    make_sqlite_database(restoring.live, journal_mode=live)
    before = content(restoring.live)
    kept = restoring.restore_in_place()
    assert content(restoring.live) == content(restoring.source.path)
    assert content(kept) == before
    assert restoring.beside() == ["app.db", f"app.db.before_{TOKEN}"]
