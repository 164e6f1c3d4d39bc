"""SQL that is compiled once for all own databases of a kind.

SQLAlchemy does it for each anew, which took an eighth of the time of tests: a service has one database, a test its own.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

from hhh.core import database


@pytest.fixture(scope="session", autouse=True)
def statements_are_compiled_once() -> Iterator[None]:
    """What is kept of one database serves the next one that speaks the same SQL."""
    make, kept = database._make_engine, LRUCache[Any, Any](5_000)

    def make_and_share(url: URL) -> Engine:
        engine = make(url)
        engine._compiled_cache = kept
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_make_engine", make_and_share)
        # The dialect, which every database has its own of, is a part of what a compiled statement is kept by.
        patch.setattr(DefaultDialect, "__hash__", lambda self: hash(_kind(self)))
        patch.setattr(DefaultDialect, "__eq__", lambda self, other: _kind(self) == _kind(other))
        yield


def _kind(dialect: object) -> tuple[type, object]:
    return type(dialect), getattr(dialect, "server_version_info", None)
