"""All engines there are."""

from __future__ import annotations

from hhh.core.errors import InvalidInput
from hhh.engines.base import Engine, EngineKind
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.proving import PostgresqlProver
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.proving import Prover
from hhh.engines.restoring import Restorer
from hhh.engines.sqlite.engine import SqliteEngine
from hhh.engines.sqlite.proving import SqliteProver
from hhh.engines.sqlite.restore import SqliteRestorer

ENGINES: dict[EngineKind, Engine] = {
    EngineKind.SQLITE: SqliteEngine(),
    EngineKind.POSTGRESQL: PostgresqlEngine(),
}

RESTORERS: dict[EngineKind, Restorer] = {
    EngineKind.SQLITE: SqliteRestorer(),
    EngineKind.POSTGRESQL: PostgresqlRestorer(),
}

PROVERS: dict[EngineKind, Prover] = {
    EngineKind.SQLITE: SqliteProver(),
    EngineKind.POSTGRESQL: PostgresqlProver(),
}

_BY_SCHEME: dict[str, EngineKind] = {
    "sqlite": EngineKind.SQLITE,
    "postgresql": EngineKind.POSTGRESQL,
    "postgres": EngineKind.POSTGRESQL,
    # As SQLAlchemy names the own database with its driver, which is the target `app`.
    "postgresql+psycopg": EngineKind.POSTGRESQL,
}


def engine_for(url: str) -> Engine:
    """The engine that a URL's scheme names.

    Raises:
        InvalidInput: none does, or it is no URL; the message does not repeat it, since it may hold a password.
    """
    scheme, separator, _ = url.partition("://")
    kind = _BY_SCHEME.get(scheme.lower()) if separator else None
    if kind is None:
        raise InvalidInput(
            "The URL names no database that can be backed up",
            hint="use sqlite:////path or postgresql://user@host/database",
        )
    return ENGINES[kind]


def restorer_for(kind: EngineKind) -> Restorer:
    """Who brings databases of that kind back."""
    return RESTORERS[kind]


def prover_for(kind: EngineKind) -> Prover:
    """Who finds out what backups of databases of that kind are good for."""
    return PROVERS[kind]
