"""The statements of a schema-only dump about privileges, comments and labels: taken apart and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hhh.core.errors import EngineError

_TOKEN = re.compile(r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | \s+ | [^\W]+ | .""", re.VERBOSE | re.DOTALL)
#: What the operator's role runs of a dump, word by word.
_KNOWN = (
    ("GRANT",),
    ("REVOKE",),
    ("ALTER", "DEFAULT", "PRIVILEGES"),
    ("SET", "SESSION", "AUTHORIZATION"),
    ("RESET", "SESSION", "AUTHORIZATION"),
    ("SECURITY", "LABEL"),
    ("COMMENT", "ON", "DATABASE"),
)

Statement = tuple[str, ...]


def statements(definition: str) -> Iterator[Statement]:
    """Each statement of a definition, as its tokens: names and literals are whole, white space is left as it is.

    Raises:
        EngineError: it is none that belongs there; privileges of a dump are run by the operator's role, which may be a
            superuser.
    """
    statement: list[str] = []
    for piece in _TOKEN.findall(definition):
        if piece != ";":
            statement.append(piece)
            continue
        yield _checked(statement)
        statement = []
    if words(statement):
        raise EngineError(f"The privileges of the backup are damaged: {''.join(statement)[:80]!r} does not end")


def words(statement: Sequence[str]) -> tuple[str, ...]:
    """The tokens that are no white space."""
    return tuple(token for token in statement if not token.isspace())


def text(statement: Statement) -> str:
    """The statement as the server takes it."""
    return "".join(statement).strip()


def about_database(statement: Statement, quoted_name: str) -> Statement:
    """The same statement about another database."""
    tokens = list(statement)
    place = tokens.index("DATABASE") + 1
    while tokens[place].isspace():
        place += 1
    end = place + 1  # a name that needs no quotes is one token as well
    return (*tokens[:place], quoted_name, *tokens[end:])


def _checked(statement: Sequence[str]) -> Statement:
    found = words(statement)
    known = any(found[: len(each)] == each for each in _KNOWN)
    # GRANT without ON would make one role a member of another.
    until = {"GRANT": "TO", "REVOKE": "FROM"}.get(found[0]) if known else None
    if not known or (until is not None and "ON" not in found[: found.index(until) if until in found else 0]):
        raise EngineError(f"The privileges of the backup hold another statement: {' '.join(found)[:80]!r}")
    return tuple(statement)
