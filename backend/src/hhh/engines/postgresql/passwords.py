"""Where libpq looks for a password that a URL does not have: ``PGPASSWORD``, then the password file.

Targets keep theirs sealed; this is for URLs that an operator types.
https://www.postgresql.org/docs/current/libpq-pgpass.html
"""

from __future__ import annotations

import getpass
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hhh.core.errors import InvalidInput
from hhh.engines.postgresql.url import Address

_DEFAULT_PORT = "5432"
_FIELDS = 5
_FIELD = re.compile(r"((?:\\.|[^:\\])*)(?::|$)")


def with_password(address: Address, environment: Mapping[str, str]) -> Address:
    """The address with the password that libpq would take for it; as it is where there is none.

    Raises:
        InvalidInput: the password file may be read by others, or can't be read.
    """
    if address.password:
        return address
    return replace(address, password=environment.get("PGPASSWORD") or _from_file(address, environment))


def _from_file(address: Address, environment: Mapping[str, str]) -> str:
    path = _file(environment)
    if path is None or not path.is_file():
        return ""
    try:
        mode, lines = path.stat().st_mode, path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"The password file {path} can't be read: {type(error).__name__}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidInput(f"Others may read the password file {path}", hint=f"chmod 600 {path}")
    wanted = _wanted(address, environment)
    return next((password for fields, password in _entries(lines) if _fits(fields, wanted)), "")


def _file(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get("PGPASSFILE"):
        return Path(named)
    home = environment.get("HOME")
    return Path(home) / ".pgpass" if home else None


def _wanted(address: Address, environment: Mapping[str, str]) -> tuple[str, str, str, str]:
    parameters = address.parameters
    host = parameters.get("host") or parameters.get("hostaddr", "")
    port = parameters.get("port") or environment.get("PGPORT") or _DEFAULT_PORT
    user = parameters.get("user") or environment.get("PGUSER") or getpass.getuser()
    return host, port, parameters["dbname"], user


def _entries(lines: Sequence[str]) -> Iterator[tuple[Sequence[str], str]]:
    for line in lines:
        fields = [re.sub(r"\\(.)", r"\1", field) for field in _FIELD.findall(line)]
        if not line.startswith("#") and len(fields) >= _FIELDS:
            yield fields[: _FIELDS - 1], fields[_FIELDS - 1]


def _fits(fields: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(field in {"*", value} for field, value in zip(fields, wanted, strict=True))
