"""What an owner of the own database does who changes the audit log, and does not want it to show."""

import contextlib
from collections.abc import Iterator

from sqlalchemy import text

from hhh.core.database import Database

_TABLES = ("audit_events", "audit_head")


def run(database: Database, *statements: str) -> None:
    """Runs statements, in one transaction."""
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))


@contextlib.contextmanager
def without_rules(database: Database) -> Iterator[None]:
    """Takes the triggers of the log away, and puts them back afterwards."""
    if database.file is None:
        run(database, *(f"ALTER TABLE {name} DISABLE TRIGGER ALL" for name in _TABLES))
        yield
        run(database, *(f"ALTER TABLE {name} ENABLE TRIGGER ALL" for name in _TABLES))
        return
    with database.snapshot() as session:
        rules = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"
        found = {each.name: each.sql for each in session.execute(text(rules))}
    run(database, *(f"DROP TRIGGER {name}" for name in found))
    yield
    run(database, *found.values())


def cut(database: Database, *, after: int) -> None:
    """Takes the end of the log away, and puts back what tells where it ends."""
    last = f"(SELECT hash FROM audit_events WHERE seq = {after})"
    with without_rules(database):
        run(
            database,
            f"DELETE FROM audit_events WHERE seq > {after}",
            f"UPDATE audit_head SET seq = {after}, hash = {last}",
        )
