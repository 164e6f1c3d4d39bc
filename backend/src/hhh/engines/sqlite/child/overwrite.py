"""A live database gets the content of another file, under SQLite's own locks, and what it had before is kept.

Nothing may slip between the safety copy and the overwrite. In WAL mode the overwrite begins first and so holds the
write lock, and the copy is taken by a second connection, since readers are not kept out. In rollback mode the overwrite
begins with a lock that keeps readers out too: there the copy is taken under a mere write lock, and the change counter
of the file tells whether a writer came before the overwrite could begin; then it is all done again.

An online backup commits in its last step. Whoever is killed before leaves the old content, and SQLite rolls back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import apsw

from hhh.engines.sqlite.child.backup_copy import STEP_SIZE
from hhh.engines.sqlite.child.checks import take_facts
from hhh.engines.sqlite.child.live import Live
from hhh.engines.sqlite.child.opening import check_file, has_content, open_immutable, open_to_write
from hhh.engines.sqlite.child.protocol import ABANDONED, Abandoned, Failed, Reports
from hhh.engines.sqlite.child.safety import SafetyCopy
from hhh.engines.sqlite.child.said import REPLACE_BY_HAND, mapped_errors, mapped_errors_of_writing

#: How often a safety copy is taken, if each time a writer comes between.
_ATTEMPTS = 5


def replace(request: dict[str, Any], reports: Reports) -> None:
    """Overwrites ``source`` by ``dump``, and keeps what it was as ``kept``."""
    path: str = request["source"]
    _prepare(request)
    with (
        mapped_errors_of_writing(path),
        contextlib.closing(open_immutable(request["dump"])) as dump,
        Live(path, request["busy_timeout"]) as live,
    ):
        _expect_fitting(dump, live)
        with contextlib.closing(SafetyCopy(path, request)) as safety:
            for _ in range(_ATTEMPTS):
                if _replace_once(live, dump, safety):
                    reports.send("replaced")
                    live.checkpoint()
                    return
    raise Failed("busy", f"{path} is written to all the time", "try again when its writers have less to do")


def settle(path: str) -> None:
    """Moves what somebody left in a WAL or a journal beside a file of ours into it; its journal mode stays."""
    if any(has_content(path + suffix) for suffix in ("-wal", "-journal")):
        with contextlib.closing(open_to_write(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _prepare(request: dict[str, Any]) -> None:
    """Checks what is to be copied."""
    dump: str = request["dump"]
    check_file(dump)
    with mapped_errors(dump):
        with contextlib.closing(open_to_write(dump)) as connection:
            # An online backup copies WAL mode, but leaves it in a database that has it: so the live one keeps its own.
            connection.pragma("journal_mode", "delete")
        if request["check_dump"]:
            take_facts(dump, thorough=os.stat(dump).st_size <= request["thorough_check_size"])


def _expect_fitting(dump: apsw.Connection, live: Live) -> None:
    """Refuses what SQLite can't do, or what connections that are open can't go on with."""
    for pragma in ("encoding", *(["page_size"] if live.is_wal() else [])):
        ours, theirs = dump.pragma(pragma), live.connection.pragma(pragma)
        if ours != theirs:
            raise Failed(
                "destination", f"{live.path} has another {pragma}: {theirs} instead of {ours}", REPLACE_BY_HAND
            )


def _replace_once(live: Live, dump: apsw.Connection, safety: SafetyCopy) -> bool:
    """False, and all is as it was, if somebody came between."""
    is_wal = live.is_wal()
    counter = None if is_wal else _copy_under_write_lock(live, safety)
    with _overwriting(live, dump) as backup:
        if live.is_wal() != is_wal or counter not in {None, live.change_counter()}:
            return False
        if is_wal:
            safety.take()
        live.expect_in_place()
        safety.keep()
        _finish(backup, max(1, STEP_SIZE // dump.pragma("page_size")))
    return True


def _copy_under_write_lock(live: Live, safety: SafetyCopy) -> bytes:
    live.be_patient()
    live.connection.execute("BEGIN IMMEDIATE")
    try:
        safety.take()
        return live.change_counter()
    finally:
        live.connection.execute("ROLLBACK")


@contextlib.contextmanager
def _overwriting(live: Live, dump: apsw.Connection) -> Iterator[apsw.Backup]:
    """Holds the write lock, in rollback mode all locks; whoever leaves before the last step changes nothing."""
    with live.connection.backup("main", dump, "main") as backup:
        live.be_patient()
        backup.step(0)
        yield backup


def _finish(backup: apsw.Backup, pages: int) -> None:
    while not backup.done:
        if ABANDONED.is_set():
            raise Abandoned
        backup.step(pages)
