"""Many values, asked for in several statements, or all at once as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import Select, String, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

#: Values in one statement: each database has a limit.
_AT_ONCE = 1000


def in_batches(values: Iterable[str]) -> Iterator[Sequence[str]]:
    """The values, as many at once as a statement takes."""
    left = iter(values)
    while some := [*islice(left, _AT_ONCE)]:
        yield some


def as_table(session: Session, values: Iterable[str]) -> Select[str]:
    """The values as the rows of a column `value`, in one parameter: of any number, by the same statement."""
    if session.get_bind().dialect.name == "postgresql":
        return select(func.unnest(literal([*values], ARRAY(String))).column_valued("value"))
    return select(func.json_each(json.dumps([*values])).table_valued("value").c.value)
