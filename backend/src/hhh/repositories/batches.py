"""Many values, asked for in several statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

#: Values in one statement: each database has a limit.
_AT_ONCE = 1000


def in_batches(values: Iterable[str]) -> Iterator[Sequence[str]]:
    """The values, as many at once as a statement takes."""
    left = iter(values)
    while some := [*islice(left, _AT_ONCE)]:
        yield some
