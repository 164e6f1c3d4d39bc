"""The URL of a database, and the fields of a form that it is made of. No password goes back into a field."""

from __future__ import annotations

from collections.abc import Mapping

from hhh.console.typed import WrongFieldsError
from hhh.core.errors import InvalidInput
from hhh.engines.base import EngineKind
from hhh.engines.postgresql.url import Address, parse_url
from hhh.engines.sqlite.url import path_in, url_of
from hhh.web.forms import Fields

#: What the connection is typed as, beside the two engines: a URL of either.
BY_URL = "url"
#: The field of a form, by libpq's name.
_PARTS: Mapping[str, str] = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "user",
    "sslmode": "sslmode",
}
#: What is never drawn again.
SECRETS = ("password", "url")
_HIGHEST_PORT = 65_535
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def typed_url(fields: Fields) -> str | None:
    """The URL that was typed, with its password; None where nothing was.

    Raises:
        WrongFieldsError: something is missing.
        InvalidInput: it is no URL of a database.
    """
    how = fields.text("engine")
    if how == EngineKind.SQLITE:
        return _sqlite_url(fields.text("path"))
    if how == BY_URL:
        return _whole_url(fields)
    if how == EngineKind.POSTGRESQL:
        return _postgresql_url(fields)
    raise WrongFieldsError({"engine": "Choose what kind of database it is"})


def fields_of(url: str | None, kind: EngineKind) -> Mapping[str, str]:
    """What a form shows of a target's URL, which came without its password."""
    if url is None:
        return {"engine": kind}
    if kind is EngineKind.SQLITE:
        return {"engine": kind, "path": str(path_in(url))}
    parameters = parse_url(url).parameters
    if not parameters.keys() <= _PARTS.keys():
        return {"engine": BY_URL, "url": without_password(url)}
    return {"engine": kind, **{_PARTS[name]: value for name, value in parameters.items()}}


def without_password(url: str) -> str:
    """A URL as it may be drawn again; empty where nobody can tell what of it is the password."""
    try:
        return Address(parse_url(url).parameters, password="").url
    except InvalidInput:
        return url if url.startswith("sqlite:") else ""


def _sqlite_url(path: str) -> str | None:
    if path and not path.startswith("/"):
        raise WrongFieldsError({"path": "Begin with /: the whole path of the file"})
    return url_of(path) if path else None


def _whole_url(fields: Fields) -> str | None:
    url = fields.text("url")
    if not url or url.startswith("sqlite:") or not (fields.get("password") or _needs_none(fields)):
        return url or None
    return _signed_in(parse_url(url).parameters, fields)


def _postgresql_url(fields: Fields) -> str | None:
    parameters = {part: fields.text(name) for part, name in _PARTS.items() if fields.text(name)}
    if parameters.keys() <= {"sslmode", "port"} and not fields.get("password"):
        return None
    if wrong := {_PARTS[part]: "This is needed" for part in ("host", "dbname") if part not in parameters}:
        raise WrongFieldsError(wrong)
    if not _is_port(parameters.get("port", "5432")):
        raise WrongFieldsError({"port": "This is not a number from 1 to 65535"})
    parameters["host"] = parameters["host"].removeprefix("[").removesuffix("]")
    return _signed_in(parameters, fields)


def _signed_in(parameters: Mapping[str, str], fields: Fields) -> str:
    url = Address(parameters, fields.get("password", "")).url
    if fields.get("password") or not _needs_none(fields):
        return url
    # A colon before the @, and nothing behind it, says that none is needed: else the one that is known is kept.
    return url.replace("@", ":@", 1) if "user" in parameters else url.replace("://", "://:@", 1)


def _needs_none(fields: Fields) -> bool:
    return bool(fields.text("no_password"))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) <= _HIGHEST_PORT
