"""URLs of SQLite files, as SQLAlchemy 2.1 reads and writes them: in ``sqlite:////data/app.db``, ``%41`` is ``A``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from hhh.core.errors import InvalidInput

_SCHEME = "sqlite:///"
_EXAMPLE = "e.g. sqlite:////var/lib/app/app.db"


def url_of(path: Path | str) -> str:
    """The URL of an absolute path.

    Raises:
        InvalidInput: no file of that name can be named in a URL.
    """
    return f"{_SCHEME}{quote(_checked(str(path)), safe=' /')}"


def path_in(url: str) -> Path:
    """The absolute path that a URL names.

    Raises:
        InvalidInput: another kind of URL, a database in memory, or options.
    """
    if not url.startswith(_SCHEME):
        raise InvalidInput("Not the URL of a SQLite file", hint=_EXAMPLE)
    name = url.removeprefix(_SCHEME)
    if not name or name.startswith((":memory:", "file:")) or name.endswith("/"):
        raise InvalidInput("The URL names no SQLite file", hint=_EXAMPLE)
    if "?" in name:
        raise InvalidInput("The URL of a SQLite file can't have options after a '?'", hint=_EXAMPLE)
    return Path(_checked(unquote(name))).absolute()


def _checked(path: str) -> str:
    if "\0" in path:
        raise InvalidInput("The path of a SQLite file can't hold a zero character", hint=_EXAMPLE)
    if path != path.encode("utf-8", "replace").decode():
        raise InvalidInput("The path of a SQLite file has to be UTF-8", hint="give the file or its folder another name")
    return path
