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

#: What privileges may be about; the others are not of one database: parameters, tablespaces, roles.
_KINDS = frozenset(
    {
        *("DATABASE", "DOMAIN", "FOREIGN", "FUNCTION", "LANGUAGE", "LARGE", "PROCEDURE", "ROUTINE", "SCHEMA"),
        *("SEQUENCE", "TABLE", "TYPE"),
    }
)
#: All but names and literals that pg_dump writes there. With more, a comment could hide a word from the server that was
#: found here, and so could text between dollars.
_PUNCTUATION = frozenset(",.()[]*")

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
    """The same statement about another database.

    Raises:
        EngineError: it is about several, or about something else.
    """
    found = words(statement)
    if kind(found) != "DATABASE" or found[found.index("DATABASE") + 2] == ",":
        raise EngineError(f"The privileges of the backup are about more than its database: {text(statement)[:80]!r}")
    tokens = list(statement)
    place = tokens.index("DATABASE") + 1
    while tokens[place].isspace():
        place += 1
    end = place + 1  # a name that needs no quotes is one token as well
    return (*tokens[:place], quoted_name, *tokens[end:])


def kind(statement: Sequence[str]) -> str:
    """What the statement is about: the word after its ``ON``; empty where it has none."""
    found = words(statement)
    return found[found.index("ON") + 1] if "ON" in found[:-1] else ""


def _checked(statement: Sequence[str]) -> Statement:
    found = words(statement)
    known = any(found[: len(each)] == each for each in _KNOWN) and all(map(_is_plain, found))
    if not known or not _is_about_a_database(found):
        raise EngineError(f"The privileges of the backup hold another statement: {' '.join(found)[:80]!r}")
    return tuple(statement)


def _is_plain(token: str) -> bool:
    return token in _PUNCTUATION or token[0] in "'\"_" or token[0].isalnum()


def _is_about_a_database(found: Sequence[str]) -> bool:
    """Or about what is in one. GRANT without ON would make one role a member of another."""
    match found[0]:
        case "GRANT" | "REVOKE":
            until = "TO" if found[0] == "GRANT" else "FROM"
            return until in found and "ON" in found[: found.index(until)] and kind(found) in _KINDS
        case "SECURITY":
            return kind(found) == "DATABASE"
        case _:
            return True
