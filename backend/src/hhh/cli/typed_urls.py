"""URLs of databases, which may hold a password, as operators give them to commands."""

from __future__ import annotations

import sys

from sqlalchemy import make_url

from hhh.cli.output import problems
from hhh.core.errors import InvalidInput

#: In the place of a URL: it comes on standard input.
STANDARD_INPUT = "-"


def read_url(argument: str) -> str:
    """The URL, from standard input if the argument says so.

    Raises:
        InvalidInput: nothing came.
    """
    if argument != STANDARD_INPUT:
        return argument
    line = sys.stdin.readline().strip()
    if not line:
        raise InvalidInput("No URL came on standard input", hint="its first line is read")
    return line


def has_password(url: str) -> bool:
    """Whether a URL that was taken has a password in it."""
    return make_url(url).password not in {None, "", "***"} or "password" in make_url(url).query


def note_typed_password() -> None:
    """Tells that an argument with a password in it was not kept from other users."""
    problems.print(
        "[yellow]Note:[/] the password stood in the arguments, where other users of this machine can read it; "
        "next time give `-` and the URL on standard input."
    )
