"""The audit log when the own database is replaced by an older one: what was recorded since comes over.

The events are the same, with their hashes and signatures, so that the chain goes on where the older database's ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from hhh.core.database import Database
from hhh.models import AuditEvent
from hhh.repositories import audit as rows
from hhh.repositories.audit import Filter

log = structlog.get_logger(__name__)


def carry_over(live: Database, copy: Database) -> None:
    """Adds to the log of a restored copy what the live database has beyond it.

    Nothing where the copy's log is no beginning of the live one's, e.g. of another installation: two logs are not made
    one. That is logged, and `hhh audit verify --head` tells of it.

    Raises:
        DatabaseUnavailable: one of them can't be used.
    """
    with copy.snapshot() as session:
        end = rows.head(session)
    with live.snapshot() as session:
        last, known = rows.head(session).seq, rows.get(session, end.seq)
    if end.seq and (known is None or known.hash != end.hash):
        log.warning("audit_log_not_carried_over", ends_at=end.seq, lost_after=last)
        return
    after = end.seq
    while True:
        with live.snapshot() as session:
            found = rows.batch(session, Filter(), after=after, until=last)
        if not found:
            return
        follow_on(copy, found)
        after = found[-1].seq


def follow_on(database: Database, events: Sequence[AuditEvent]) -> None:
    """Adds events of another database, as far as they are beyond its own and follow on them."""
    with database.transaction() as session:
        end = rows.lock_head(session)
        missing = [event for event in events if event.seq > end.seq]
        if not missing:
            return
        if missing[0].seq != end.seq + 1 or missing[0].previous_hash != end.hash:
            log.warning("audit_log_not_carried_over", ends_at=end.seq, lost_after=missing[-1].seq)
            return
        rows.add(session, missing)
