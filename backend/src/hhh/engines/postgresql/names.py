"""The names of databases that a restore makes; whoever knows a database and a token knows them all."""

from __future__ import annotations

import hashlib
import re
import secrets
import string

#: NAMEDATALEN - 1: the server cuts what is longer, maybe within a character.
LONGEST_NAME = 63
_TOKEN = re.compile(r"[a-z0-9]{8}")


def new_token() -> str:
    """A token that nobody else has."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def token_beside(token: str) -> str:
    """That of what a drill makes beside the restored database: whoever knows the token of the drill knows it."""
    return hashlib.sha256(f"beside {token}".encode()).hexdigest()[: len(token)]


def restore_name(database: str, token: str) -> str:
    """Under which name a database is built, before it has its own: ``<database>_restore_<token>``, at most 63 bytes."""
    return _with_ending(database, f"_restore_{token}")


def before_name(database: str, token: str) -> str:
    """Under which name what was replaced is kept: ``<database>_before_<token>``, at most 63 bytes of UTF-8."""
    return _with_ending(database, f"_before_{token}")


def is_before_name(name: str, database: str) -> bool:
    """Whether a name is one of `before_name` of that database, with whatever token."""
    token = name[-8:]
    return _TOKEN.fullmatch(token) is not None and name == before_name(database, token)


def _with_ending(database: str, ending: str) -> str:
    room = LONGEST_NAME - len(ending.encode())
    return database.encode()[:room].decode(errors="ignore") + ending
