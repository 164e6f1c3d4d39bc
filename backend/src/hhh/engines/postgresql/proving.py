"""What a backup of PostgreSQL is good for: read through, or restored on a throw-away server and compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from hhh.core.run import Run
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.postgresql.assertions import ask
from hhh.engines.postgresql.drills import sweep_drills
from hhh.engines.postgresql.lacks import lacking
from hhh.engines.postgresql.reading import read_through
from hhh.engines.postgresql.schema_comparison import compare_schemas
from hhh.engines.postgresql.throw_away import find_server, throw_away
from hhh.engines.proving import ASSERTION_SECONDS, Place, Prover
from hhh.engines.restoring import Built, RestoreSource
from hhh.schemas.restore import Difference
from hhh.schemas.verification import Asserted

#: Also of ``18beta1``.
_MAJOR = re.compile(r"\d+")


class PostgresqlProver(Prover):
    """Its parts are `reading`, `throw_away`, `schema_comparison` and `assertions`, beside this file."""

    kind = EngineKind.POSTGRESQL

    def __init__(self, *, assertion_seconds: float = ASSERTION_SECONDS) -> None:
        """
        Args:
            assertion_seconds: for each query of the operator.
        """
        self._assertion_seconds = assertion_seconds

    def read_through(self, pieces: Iterator[bytes], raw_size: int, workplace: Workplace, run: Run) -> str:
        return read_through(pieces, raw_size, workplace, run)

    def throw_away(
        self, source: RestoreSource, server_url: str | None, workplace: Workplace, run: Run
    ) -> AbstractContextManager[Place]:
        return throw_away(source, server_url, workplace, run)

    def needs(self, version: str, workplace: Workplace) -> str:
        found = _MAJOR.match(version)
        if found is None:
            return ""
        initdb, postgres = find_server(int(found[0]), workplace)
        return f"{initdb.path} and {postgres.path} of PostgreSQL {postgres.version} are here"

    def sweep(self, server_url: str, workplace: Workplace) -> int:
        return sweep_drills(server_url, workplace)

    def lacking(self, error: str) -> str | None:
        return lacking(error)

    def compare_schemas(
        self, source: RestoreSource, built: Built, place: Place, workplace: Workplace, run: Run
    ) -> tuple[str, Sequence[Difference]]:
        return compare_schemas(source, built, place, workplace, run)

    def ask(
        self, assertions: Sequence[str], built: Built, place: Place, workplace: Workplace, run: Run
    ) -> Sequence[Asserted]:
        return ask(assertions, built, place, workplace, run, limit=self._assertion_seconds)
