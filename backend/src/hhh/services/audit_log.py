"""The audit log for whoever reads it: page by page, as a file, and whether it is as it was written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator

from sqlalchemy.exc import DataError

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable, InvalidInput
from hhh.core.text import harmless_json
from hhh.models import Action, AuditEvent
from hhh.repositories import audit as rows
from hhh.repositories.audit import NO_EVENT, Filter, Head
from hhh.schemas.audit import (
    AuditEventResource,
    AuditFilter,
    AuditHeadResource,
    AuditPage,
    AuditQuery,
    AuditVerdict,
)
from hhh.services import audit
from hhh.services.audit_chain import Chain, verdict
from hhh.services.audit_file import Tally, last_line
from hhh.services.installation import Identity
from hhh.services.trust import trusted_keys

#: No event has a smaller number, also where somebody put one there.
_BEFORE_ALL = -(2**63)
#: What reading a row raises that holds what no column of it may: SQLite takes anything, PostgreSQL any year.
_FOREIGN = (ValueError, TypeError, AttributeError, DataError)
#: Digits that a number of an event may have.
_MOST_DIGITS = 18
_SUBJECT = "audit log"


class AuditLog:
    """Reads it."""

    def __init__(self, settings: Settings, database: Database, identity: Identity) -> None:
        self._settings = settings
        self._database = database
        self._identity = identity

    def head(self) -> Head:
        """The end of the chain as it is now; 0 where nothing was recorded yet."""
        with self._database.snapshot() as session:
            return rows.head(session)

    def page(self, asked: AuditQuery) -> AuditPage:
        """Events, newest first.

        Raises:
            InvalidInput: the cursor is none that a page handed out.
            DatabaseUnavailable: somebody has put what is no event among them.
        """
        before = _decoded(asked.cursor) if asked.cursor else None
        with _readable():
            with self._database.snapshot() as session:
                head = rows.head(session)
                found = rows.newest(session, wanted(asked), before=before, limit=asked.limit + 1)
            shown = found[: asked.limit]
            items = [resource(event) for event in shown]
        return AuditPage(
            items=items,
            next_cursor=str(shown[-1].seq) if len(found) > len(shown) else None,
            head=AuditHeadResource(seq=head.seq, hash=head.hash),
        )

    def export(self, asked: AuditFilter) -> Iterator[bytes]:
        """Events as lines of JSON, the oldest first, and a last line that says that it is all; it is recorded itself.

        No transaction is open between two pieces: whoever takes them may be slow.
        """
        narrowed = asked.model_dump(mode="json", include={*AuditFilter.model_fields}, exclude_none=True)
        audit.record_alone(self._database, Action.AUDIT_EXPORT, _SUBJECT, detail=narrowed)
        return self._lines(asked, narrowed)

    def verify(self, noted: Collection[Head] = ()) -> AuditVerdict:
        """Checks every event from the first one on.

        Args:
            noted: ends that the chain had, as somebody noted them elsewhere.
        """
        chain = Chain(trusted_keys(self._settings, self._identity), noted=noted)
        return self._checked(chain, after=_BEFORE_ALL, whole=True)

    def verify_newest(self, count: int) -> AuditVerdict:
        """As `verify`, of the newest events alone: quick however long the log is."""
        with self._database.snapshot() as session:
            seq = rows.head(session).seq - count
            hashed = rows.hash_of(session, seq)
        head, after = (Head(seq, hashed), seq) if hashed is not None else (NO_EVENT, _BEFORE_ALL)
        return self._checked(Chain(trusted_keys(self._settings, self._identity), head=head), after=after, whole=False)

    def _lines(self, asked: AuditFilter, narrowed: dict[str, str]) -> Iterator[bytes]:
        head, after, tally = self.head(), _BEFORE_ALL, Tally()
        while True:
            with _readable(), self._database.snapshot() as session:
                found = rows.batch(session, wanted(asked), after=after, until=head.seq)
                lines = [f"{harmless_json(resource(event).model_dump_json())}\n".encode() for event in found]
            if not found:
                break
            yield from lines
            after = found[-1].seq
            for event in found:
                tally.count(event.hash)
        yield last_line(self._identity.signing_key, tally, head, narrowed, utcnow())

    def _checked(self, chain: Chain, *, after: int, whole: bool) -> AuditVerdict:
        limit = rows.BATCH
        while True:
            try:
                with self._database.snapshot() as session:
                    # Before the events: what is recorded meanwhile is among them, and comes with the next ones.
                    head = rows.head(session)
                    found = rows.batch(session, Filter(), after=after, limit=limit)
                    kept = rows.kept(session) if whole and not found else None
                broken = chain.first_break(found) if found else chain.broken_end(head, kept)
            except _FOREIGN:
                if limit == 1:
                    return verdict(chain, chain.unreadable())
                after, limit = chain.head.seq if chain.checked else after, 1  # one by one: which it is
                continue
            if broken is not None or not found:
                return verdict(chain, broken)
            after = found[-1].seq


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Tells of events that the service never wrote, e.g. of a moment that is none, instead of failing by them."""
    try:
        yield
    except _FOREIGN as error:
        raise DatabaseUnavailable(
            "The audit log holds what the service never wrote there, and can't be told",
            hint="somebody has changed it: `hhh audit verify` says where",
        ) from error


def wanted(asked: AuditFilter) -> Filter:
    """What of the log is asked for."""
    return Filter(asked.actor, asked.action, asked.subject, asked.result, asked.since, asked.until)


def resource(event: AuditEvent) -> AuditEventResource:
    """An event as it is told."""
    told = {name: getattr(event, name) for name in AuditEventResource.model_fields}
    return AuditEventResource.model_validate({**told, "detail": _detail(event)})


def _detail(event: AuditEvent) -> dict[str, object]:
    try:
        detail = json.loads(event.detail)
    except ValueError:
        detail = None
    # Nobody but who changes the log writes anything else; it is told as it is, and its hash is another.
    return detail if isinstance(detail, dict) else {"": event.detail}


def _decoded(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= _MOST_DIGITS):
        raise InvalidInput("The cursor is not one that a page handed out", hint="leave it out to begin anew")
    return int(cursor)
