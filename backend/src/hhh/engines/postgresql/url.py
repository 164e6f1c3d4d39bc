"""The URL of a PostgreSQL database: what it may say, its parts, its normal form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from hhh.core.errors import InvalidInput

#: The parameters of libpq that a URL may hold, and the variable by which a program is told the same.
#: What has no variable (keepalives, sslpassword) or points elsewhere (service, passfile) is refused.
#: https://www.postgresql.org/docs/current/libpq-envars.html
VARIABLES: Mapping[str, str] = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "dbname": "PGDATABASE",
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "channel_binding": "PGCHANNELBINDING",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcertmode": "PGSSLCERTMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "gssencmode": "PGGSSENCMODE",
    "gsslib": "PGGSSLIB",
    "krbsrvname": "PGKRBSRVNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_HIGHEST_PORT = 65_535
_EXAMPLE = "e.g. postgresql://user:password@host:5432/database, other characters than letters and digits as %41"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is and how to sign in."""

    #: libpq's parameters but the password; ``dbname`` and one of ``host`` and ``hostaddr`` are among them.
    parameters: Mapping[str, str]
    #: Empty where none is needed.
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The URL in its normal form, with the password."""
        rest = dict(self.parameters)
        user, host, port, database = (rest.pop(part, "") for part in ("user", "host", "port", "dbname"))
        if host.startswith(("/", "@")):  # the folder of a socket; SQLAlchemy understands it in the query only
            rest["host"], host = host, ""
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        sign_in = f"{quote(user, safe='')}{secret}@" if user or secret else ""
        place = (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
        query = f"?{urlencode(sorted(rest.items()), quote_via=quote, safe='/')}" if rest else ""
        return f"postgresql://{sign_in}{place}/{quote(database, safe='')}{query}"


def parse_url(url: str) -> Address:
    """Takes a URL apart, as libpq does; ``postgres`` and SQLAlchemy's ``postgresql+psycopg`` mean the same.

    Raises:
        InvalidInput: not such a URL, or it holds what can't be handed to pg_dump; no password in the message.
    """
    scheme, separator, rest = url.partition("://")
    if scheme.lower() not in _SCHEMES or not separator:
        raise InvalidInput("The URL does not begin with postgresql://", hint=_EXAMPLE)
    try:
        # SQLAlchemy leaves spaces as they are when it writes a URL, and libpq refuses them.
        given = conninfo_to_dict(f"postgresql://{rest.replace(' ', '%20')}")
    except (psycopg.Error, UnicodeError):
        # libpq's own message quotes the part that it did not understand, which may be the password.
        raise InvalidInput("The URL is not one that PostgreSQL's libpq understands", hint=_EXAMPLE) from None
    parameters = {name: str(value) for name, value in given.items() if value not in {None, ""}}
    password = parameters.pop("password", "")
    _check(parameters, password)
    return Address(parameters=parameters, password=password)


def _check(parameters: Mapping[str, str], password: str) -> None:
    for name in parameters:
        if name not in VARIABLES:
            raise InvalidInput(f"The URL's parameter {name} is not supported", hint=f"known are {', '.join(VARIABLES)}")
    if any(character in password for character in "\n\r\0"):
        raise InvalidInput("The URL's password holds a line break, which a password file can't")
    port = parameters.get("port", "1")
    if "," not in port and not (port.isascii() and port.isdigit() and 0 < int(port) <= _HIGHEST_PORT):
        raise InvalidInput("The URL's port is not a number between 1 and 65535", hint=_EXAMPLE)
    if "dbname" not in parameters:
        raise InvalidInput("The URL names no database", hint=_EXAMPLE)
    if not parameters.keys() & {"host", "hostaddr"}:
        raise InvalidInput(
            "The URL names no host", hint="for a Unix socket: postgresql:///database?host=/run/postgresql"
        )
    if any("," in parameters.get(name, "") for name in ("host", "hostaddr", "port")):
        raise InvalidInput("The URL names several hosts", hint="a backup is taken from one server: name that one")
