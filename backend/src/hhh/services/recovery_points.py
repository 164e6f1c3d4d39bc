"""Which moments a target can be taken back to, for whoever chooses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hhh.artifacts.naming import valid_target_name
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.engines.base import EngineKind
from hhh.repositories import recovery_points as rows
from hhh.repositories.recovery_points import Point
from hhh.services import cursors

__all__ = ["Point", "PointPage", "RecoveryPoints"]

#: The clocks of the machines of one installation differ by less; what is dated further ahead is never chosen by itself.
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class PointPage:
    """Some recovery points of a target, newest first."""

    points: Sequence[Point]
    #: The newest one that a restore has proven, whether it is among them or not.
    newest_proven: Point | None
    #: Of the next page; None on the last one.
    next_cursor: str | None
    #: Of which kind of database they are; None if there are none.
    engine: EngineKind | None


class RecoveryPoints:
    """Reads the catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, backup_id: str) -> Point:
        """One of them by the id of its backup.

        Raises:
            NotFound: no stored backup has that id.
        """
        with self._database.snapshot() as session:
            found = rows.one(session, backup_id) if cursors.is_id(backup_id) else None
        if found is None:
            raise NotFound("No stored backup has that id", hint="choose another recovery point")
        return found

    def known(self, backup_id: str | None) -> Point | None:
        """As `find`; None where it is gone."""
        try:
            return self.find(backup_id or "")
        except NotFound:
            return None

    def page(
        self,
        target: str,
        *,
        until: datetime | None = None,
        cursor: str | None = None,
        including: Point | None = None,
        limit: int = 100,
    ) -> PointPage:
        """One page of them.

        Args:
            target: registered or not: backups outlive the registration.
            until: none that is later than this.
            cursor: of the page before.
            including: if this one is not on that page, the page that begins with it.
            limit: at most so many.

        Raises:
            InvalidInput: the cursor is not one that a page handed out.
        """
        if not valid_target_name(target):
            return PointPage([], None, None, None)
        position = cursors.decode(cursor) if cursor else None
        with self._database.snapshot() as session:
            found = rows.before(session, target, until=until, position=position, limit=limit + 1)
            if including is not None and all(each.id != including.id for each in found[:limit]):
                found = rows.before(session, target, until=including.created_at, position=None, limit=limit + 1)
            proven = rows.newest_proven(session, target, until=utcnow() + _CLOCKS_DIFFER)
            engine = rows.engine(session, found[0].id) if found else None
        shown = found[:limit]
        more = len(found) > limit
        return PointPage(
            points=shown,
            newest_proven=proven,
            next_cursor=cursors.encode(shown[-1].created_at, shown[-1].id) if more else None,
            engine=EngineKind(engine) if engine else None,
        )
