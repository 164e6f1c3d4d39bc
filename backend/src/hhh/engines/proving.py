"""What every engine can do to find out what a backup is good for.

A drill is a restore (`hhh.engines.restoring.Restorer.build`) into a throw-away place, compared there and thrown away.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from hhh.core.run import Run
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.restoring import Built, Destination, RestoreSource
from hhh.schemas.restore import Difference
from hhh.schemas.verification import Asserted

#: So long a query of the operator may take.
ASSERTION_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a drill restores to; what is there is thrown away with it."""

    #: In `RestoreMode.NEW`, nothing of that name is there yet.
    destination: Destination
    #: For people: ``PostgreSQL 16.9, a throw-away server``.
    description: str
    #: What the code of a dump can't reach there, each in words.
    isolation: tuple[str, ...] = ()
    #: What the operator should know of it.
    warnings: tuple[str, ...] = ()


class Prover(ABC):
    """One kind of database. Holds no state."""

    kind: EngineKind

    @abstractmethod
    def read_through(self, pieces: Iterator[bytes], raw_size: int, workplace: Workplace, run: Run) -> str:
        """Reads a plain dump to its end as what it is, without restoring it.

        Args:
            pieces: of the dump; their reader has hashed them when they end.
            raw_size: bytes of all of them.
            workplace: where to work.
            run: who is told, and may cancel.

        Returns:
            What was read, in words: ``214 entries``.

        Raises:
            Lacking: this machine can't read it.
            ArtifactDamaged: it is not what it should be.
            Cancelled, LeaseLost: the run is over.
        """

    @abstractmethod
    def throw_away(
        self, source: RestoreSource, server_url: str | None, workplace: Workplace, run: Run
    ) -> AbstractContextManager[Place]:
        """A place for one drill; whatever ends the block, it is gone when it is left.

        Args:
            source: what is to be restored there; its size is held against what is free.
            server_url: of a server that the operator names, with its password; None: one is made.
            workplace: where to work.
            run: who is told, and may cancel.

        Raises:
            Lacking: this machine can't have one, and what to install or free.
            EngineError: it could not be made otherwise.
        """

    def needs(self, version: str, workplace: Workplace) -> str:  # noqa: ARG002  by default nothing beside this program
        """What a place for a drill takes that is here, in words; empty where that is nothing.

        Args:
            version: of the server that is backed up (`SourceInfo.version`).
            workplace: where to work.

        Raises:
            Lacking: something is not here, and what to install.
        """
        return ""

    def sweep(self, server_url: str, workplace: Workplace) -> int:  # noqa: ARG002  nothing is left where nothing is
        """Removes what killed drills left on a server that the operator named; those under way keep theirs.

        Places that were made in scratch are none of it: `hhh.core.scratch.sweep` removes those.

        Returns:
            Of how many drills that was.

        Raises:
            EngineError: the server can't be reached, or refused.
        """
        return 0

    def lacking(self, error: str) -> str | None:  # noqa: ARG002  by default an error tells of the dump
        """What this machine lacks, where an error of a tool (`Built.errors`) tells of that; else None."""
        return None

    @abstractmethod
    def compare_schemas(
        self, source: RestoreSource, built: Built, place: Place, workplace: Workplace, run: Run
    ) -> tuple[str, Sequence[Difference]]:
        """Compares the definitions of all objects with those of the source.

        Returns:
            What was compared, in words, and the differences.
        """

    @abstractmethod
    def ask(
        self, assertions: Sequence[str], built: Built, place: Place, workplace: Workplace, run: Run
    ) -> Sequence[Asserted]:
        """Asks queries of what was built, by a role that may only read, each within a time limit that it can't lift.

        What a query changes, is gone after it; one that fails, holds not.
        """
