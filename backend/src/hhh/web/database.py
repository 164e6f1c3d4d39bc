"""The request's transaction: one dependency commits, before the answer is sent.

`Transaction` and `Snapshot` are for routes. Neither touches the database before the first statement, and both end with
the route's function, so that no answer is sent before its commit and no slow client holds a connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import Request

from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.web.state import own_database


def transaction(request: Request) -> Iterator[Session]:
    """A transaction that writes; committed when the route returns, rolled back when it raises.

    An error that `keeps_changes` is raised after the commit: a refresh token that was used twice ends its family.
    """
    kept: HHHError | None = None
    with own_database(request).transaction() as session:
        try:
            yield session
        except HHHError as error:
            if not error.keeps_changes:
                raise
            kept = error
    if kept is not None:
        raise kept


def snapshot(request: Request) -> Iterator[Session]:
    """A transaction that only reads."""
    with own_database(request).snapshot() as session:
        yield session


# The default scope ends a dependency after the answer was sent: a failed commit would have been told as success.
Transaction = Annotated[Session, Depends(transaction, scope="function")]
Snapshot = Annotated[Session, Depends(snapshot, scope="function")]
OwnDatabase = Annotated[Database, Depends(own_database)]
