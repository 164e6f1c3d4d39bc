"""The jobs database: what it may not be. It is never backed up, and nothing else lives in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.conninfo import make_conninfo

from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError, InvalidInput
from hhh.engines.postgresql.url import Address, parse_url

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORT = "5432"
#: A server that is gone without a word is noticed within so long, in seconds and in milliseconds.
_PATIENCE: Mapping[str, str] = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a PostgreSQL database is, as far as its URL tells."""

    host: str
    port: str
    database: str


def refuse_as_target(settings: Settings, url: str) -> None:
    """Refuses a target whose database is the jobs database; any other URL, whatever its kind, passes.

    Raises:
        InvalidInput: it is.
    """
    jobs = settings.jobs_database_url.get_secret_value()
    if jobs and is_same(jobs, url):
        raise InvalidInput(
            "The URL names the jobs database (HHH_JOBS_DATABASE_URL), which is never backed up",
            hint="nothing in it is worth keeping: the catalogue is in the target `app`",
        )


def refuse_wrong(settings: Settings, targets: Mapping[str, str]) -> None:
    """Refuses a jobs database that is the own one or a target's; a no-op where there is none.

    Args:
        settings: that name it.
        targets: the URL of each target, `app` included, by its name; passwords are not needed.

    Raises:
        ConfigurationError: it is one of them, or it is no URL of a PostgreSQL database.
    """
    jobs = settings.jobs_database_url.get_secret_value()
    if not jobs:
        return
    _parsed(jobs)
    for name, url in targets.items():
        if is_same(jobs, url):
            raise ConfigurationError(
                f"HHH_JOBS_DATABASE_URL names the database of the target {name!r}",
                hint="jobs need a database of their own: make an empty one",
            )


def conninfo(url: str) -> str:
    """What libpq connects to the jobs database with, the password included.

    Raises:
        ConfigurationError: it is no URL of a PostgreSQL database.
    """
    address = _parsed(url)
    return make_conninfo("", **{**_PATIENCE, **address.parameters}, password=address.password)


def is_same(one: str, other: str) -> bool:
    """Whether two URLs name one PostgreSQL database, as far as they tell: a host may have names that we don't know."""
    try:
        return _place(parse_url(one)) == _place(parse_url(other))
    except InvalidInput:  # one is not PostgreSQL
        return False


def _parsed(url: str) -> Address:
    try:
        return parse_url(url)
    except InvalidInput as error:
        raise ConfigurationError(f"HHH_JOBS_DATABASE_URL: {error.message}", hint=error.hint) from None


def _place(address: Address) -> _Place:
    parameters = address.parameters
    host = parameters.get("hostaddr") or parameters["host"]
    # A socket is this machine's: its server listens on the same port of loopback, as a rule.
    is_here = host.startswith(("/", "@")) or host.lower() in _LOOPBACK
    return _Place("" if is_here else host.lower(), parameters.get("port", _DEFAULT_PORT), parameters["dbname"])
