"""What every engine can do to bring a database back.

A restore is built beside its destination, compared there, and only then published: `Restorer.build`, a comparison,
`Restorer.publish`. All names that a restore uses derive from its token, so that whoever comes after a killed
process can `discard` what it left without knowing how far it came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from hhh.core.run import Run
from hhh.engines.base import EngineKind, Workplace
from hhh.schemas.facts import Facts
from hhh.schemas.restore import Check

#: The name of PostgreSQL's second dump: the schema with its privileges.
SCHEMA_DUMP = "schema.dump"
#: What takes longer does not come to its end: the role that it works as may sign in for so long.
LONGEST_RESTORE: Final = timedelta(hours=72)


class RestoreMode(StrEnum):
    """Where a restore ends up."""

    NEW = "new"  #: a database or file that does not exist yet
    REPLACE = "replace"  #: in the place of the live one, which is kept
    TABLES = "tables"  #: some tables, in a database that the caller names


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to, and how."""

    #: Of any database on the server, with its password (PostgreSQL), or of the file itself (SQLite).
    url: str = field(repr=False)
    #: The database's name, or the file's absolute path.
    name: str
    mode: RestoreMode
    #: 8 characters ``a-z0-9`` of this restore alone.
    token: str
    #: For `RestoreMode.TABLES`: ``schema.table`` or ``schema``, quoted as in SQL.
    tables: tuple[str, ...] = ()
    #: Names of checks that the caller accepts.
    acknowledged: frozenset[str] = frozenset()
    #: Whether fingerprints are taken again of those tables of which the source has one.
    with_fingerprints: bool = False
    #: Whether the planner's statistics are made; nobody plans on what is thrown away.
    with_statistics: bool = True


@dataclass(frozen=True, slots=True)
class RestoreSource:
    """A backup, as far as it has been fetched."""

    facts: Facts
    #: As the manifest has them: ``server``, ``tool``, ``library``, …
    versions: Mapping[str, str]
    #: Bytes of the dump.
    raw_size: int
    #: Further files by suffix (`SCHEMA_DUMP`), plain, in scratch.
    attachments: Mapping[str, Path]
    #: The dump, plain, in scratch; None while a restore is only planned.
    dump: Path | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """What was restored, complete, beside its destination."""

    #: By which it can be opened, with its password.
    url: str = field(repr=False)
    #: What stands there now, in the form of the source's facts.
    facts: Facts
    #: Each error of the tool, in its own words; one is enough to make the restore fail.
    errors: tuple[str, ...] = ()
    #: What the operator should know, e.g. of owners that are others now.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """That a restore happened."""

    #: As `Restorer.publish` returned it.
    kept: str | None


class Restorer(ABC):
    """One kind of database. Holds no state; raises `EngineError` where the server or a tool fails."""

    kind: EngineKind

    @abstractmethod
    def checks(self, source: RestoreSource, destination: Destination, workplace: Workplace) -> Sequence[Check]:
        """Looks at the destination without touching it: each check that this engine knows, also those that hold."""

    @abstractmethod
    def steps(self, source: RestoreSource, destination: Destination) -> Sequence[str]:
        """What the restore would do, in sentences for the operator."""

    @abstractmethod
    def build(self, source: RestoreSource, destination: Destination, workplace: Workplace, run: Run) -> Built:
        """Restores beside the destination; what was there before is not touched.

        A tool's own errors are in the result; the caller discards. Where it raises, the caller discards as well.

        Raises:
            EngineError: it could not be done.
            Cancelled, LeaseLost: the run is over.
        """

    @abstractmethod
    def publish(self, destination: Destination, workplace: Workplace, run: Run) -> str | None:
        """Gives what was built its name, in one step that happens or does not.

        Returns:
            The name under which what it replaced is kept; None if it replaced nothing.

        Raises:
            EngineError: it did not happen.
        """

    def published(self, destination: Destination, workplace: Workplace) -> Published | None:  # noqa: ARG002  nothing tells
        """Whether the restore, or the undo, of this token happened: for whoever comes after a process that was killed.

        Asked only where it had come to `publish` or `undo`, and before `discard`; changes nothing.

        Returns:
            None: it did not, or nothing tells.
        """
        return None

    @abstractmethod
    def discard(self, destination: Destination, workplace: Workplace) -> None:
        """Removes what an unpublished restore of this token left, and undoes what it had begun; a no-op without any.

        Never touches what was published or what is kept.
        """

    @abstractmethod
    def undo(self, destination: Destination, kept: str, workplace: Workplace, run: Run) -> str:
        """Puts the kept database back in its place.

        Args:
            destination: as it was published, with the token of the undo.
            kept: as `publish` returned it.
            workplace: where to work.
            run: who may cancel.

        Returns:
            The name under which what it replaced is kept now.

        Raises:
            EngineError: it did not happen.
        """

    @abstractmethod
    def remove_kept(self, destination: Destination, kept: str, workplace: Workplace) -> None:
        """Removes what was kept, for good; a no-op if it is gone."""
