"""Forms of pages, as browsers send them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends
from starlette.requests import Request

from hhh.core.errors import InvalidInput

#: Files are never sent to the console: no form needs another encoding.
FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 2000


class Fields(Mapping[str, str]):
    """The fields of a form; of a name that comes more than once the last counts, as `all` tells the others.

    Its values may be passwords: none is shown by `repr`.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = pairs
        self._last = dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self._last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def __repr__(self) -> str:
        return f"Fields({', '.join(self._last)})"

    def text(self, name: str) -> str:
        """Its value without surrounding space; empty where the form has no such field."""
        return self._last.get(name, "").strip()

    def all(self, name: str) -> list[str]:
        """All values of a name, such as those of boxes that were ticked."""
        return [value for key, value in self._pairs if key == name]


def parse(body: bytes) -> Fields:
    """The fields of a body.

    Raises:
        InvalidInput: it has too many.
    """
    try:
        pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InvalidInput(f"The form has more than {_MOST_FIELDS} fields") from None
    return Fields(pairs)


async def form(request: Request) -> Fields:
    """A dependency: the fields that a form sent; none where something else was sent."""
    if not request.headers.get("Content-Type", "").startswith(FORM):
        return Fields()
    return parse(await request.body())


Form = Annotated[Fields, Depends(form)]
