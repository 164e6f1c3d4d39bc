"""Names of tables and schemas as an operator writes them."""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Collection
from dataclasses import dataclass

from hhh.core.errors import InvalidInput

_PART = r'"(?:[^"]|"")+"|[^\W\d][\w$]*'
_NAME = re.compile(rf"\s*({_PART})(?:\s*\.\s*({_PART}))?\s*")
#: Without quotes it means the same.
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
#: Of letters outside ASCII, what folds to what depends on the server's locale; in UTF-8 none does.
_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SUGGESTIONS = 3
_SIMILAR = 0.8
#: Comparing a name with more than these takes too long.
_MOST_COMPARED = 5000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A schema, or a relation in it."""

    schema: str
    #: None for the whole schema.
    name: str | None

    def __str__(self) -> str:
        return quoted(self.schema) if self.name is None else f"{quoted(self.schema)}.{quoted(self.name)}"


def parse(text: str) -> Wanted:
    """Reads ``schema`` or ``schema.name``, quoted as in SQL; without quotes upper case becomes lower case.

    Raises:
        InvalidInput: it is no name of that form.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        raise InvalidInput(
            f"{text!r} is no name of a table or schema", hint='write schema.table or schema, odd names as "Odd Name".t'
        )
    return Wanted(_meant(found[1]), _meant(found[2]) if found[2] else None)


def quoted(name: str) -> str:
    """A name as it can be written in `parse`."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def nearest(wanted: Wanted, existing: Collection[Wanted]) -> list[str]:
    """The names that were probably meant: the same ones in another schema or another case first, then similar ones."""
    last = (wanted.name or wanted.schema).casefold()
    same = [str(each) for each in existing if (each.name or each.schema).casefold() == last]
    if same or len(existing) > _MOST_COMPARED:
        return same[:_SUGGESTIONS]
    return difflib.get_close_matches(str(wanted), [str(each) for each in existing], _SUGGESTIONS, _SIMILAR)


def _meant(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.translate(_FOLDED)
