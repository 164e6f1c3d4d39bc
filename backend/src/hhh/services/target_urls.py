"""A URL that is to take the place of a target's present one, which may have a password that nobody can read."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from hhh.core.errors import InvalidInput
from hhh.engines.base import Engine, EngineKind
from hhh.engines.postgresql.url import Address, parse_url

#: What stands in the place of a password that is shown to nobody; clients send back what they were shown.
MASKED = "***"
#: What may change without the password going another way than before. Not among them: where the server is, who signs
#: in, and how it is proven to be the right one.
_ELSEWHERE = frozenset({"dbname", "application_name", "connect_timeout", "options", "target_session_attrs"})


def with_kept_password(engine: Engine, given: str, present: str | None) -> str:
    """The URL that is meant by one that may lack its password.

    Args:
        engine: of the given URL.
        given: as a client sends it.
        present: the target's URL with its password; None if it can't be opened any more.

    Raises:
        InvalidInput: not a URL of that engine, or its password is left out and must not be kept: it was given for
            another user, server, or way to it.
    """
    normal = engine.validate(given)
    if engine.kind is not EngineKind.POSTGRESQL:
        return normal
    address = parse_url(normal)
    if (address.password and address.password != MASKED) or _says_none(given):
        return normal
    known = _address(present)
    if known is None or not known.password:
        if address.password or present is None:
            raise InvalidInput("The URL's password is missing", hint=_NONE_NEEDED)
        return normal
    if _way(address) != _way(known):
        raise InvalidInput(
            "The URL's password is missing, and the one that is known was given for another user, server, or way to it",
            hint=_NONE_NEEDED,
        )
    return Address(address.parameters, known.password).url


_NONE_NEEDED = "give it in the URL; `user:@host`, with a colon, says that none is needed"


def _says_none(given: str) -> bool:
    """Whether a colon stands before the ``@``, and no password behind it."""
    try:
        parsed: URL = make_url(given)
    except (ArgumentError, ValueError):
        return False
    return parsed.password == "" and "password" not in parsed.query


def _address(url: str | None) -> Address | None:
    try:
        return parse_url(url) if url is not None else None
    except InvalidInput:  # of another engine
        return None


def _way(address: Address) -> dict[str, str]:
    return {"port": "5432"} | {name: value for name, value in address.parameters.items() if name not in _ELSEWHERE}
