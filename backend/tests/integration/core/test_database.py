"""The own database where its clients end in odd ways."""

import pytest
from sqlalchemy import text

from hhh.core import database as module
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable
from support.waiting import wait_until

pytestmark = pytest.mark.postgres

OTHERS_IN_TRANSACTIONS = text(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    " AND pid <> pg_backend_pid()"
)


def test_who_freezes_in_a_transaction_that_writes_keeps_nobody_waiting(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FROZEN", "50ms")
    with pytest.raises(DatabaseUnavailable):
        freeze_while_writing(postgresql_database)


def freeze_while_writing(database: Database) -> None:
    """Asks nothing more in a transaction that has written, as a process that was stopped; others write meanwhile."""
    with database.transaction() as session:
        session.execute(text("UPDATE backup_totals SET total = total"))
        wait_until(lambda: idle_elsewhere(database) == [], what="the server to end the transaction")
        with database.transaction() as other:
            other.execute(text("SET LOCAL lock_timeout = '5s'"))
            other.execute(text("UPDATE backup_totals SET total = total"))


def test_who_only_reads_may_take_its_time(postgresql_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FROZEN", "1ms")
    with postgresql_database.snapshot() as session:
        before = session.scalar(text("SELECT total FROM backup_totals"))
        assert idle_elsewhere(postgresql_database) != []
        assert session.scalar(text("SELECT total FROM backup_totals")) == before


def idle_elsewhere(database: Database) -> list[int]:
    with database.snapshot() as session:
        return list(session.scalars(OTHERS_IN_TRANSACTIONS))
