"""Where a target is, in words: its database or file, what a new one beside it can be called, how to open one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg.conninfo import make_conninfo

from hhh.core.errors import ConfigurationError, NotFound
from hhh.engines.base import EngineKind
from hhh.engines.postgresql.names import LONGEST_NAME
from hhh.engines.postgresql.url import parse_url
from hhh.engines.sqlite.url import path_in
from hhh.services.targets import ListedTarget, TargetService

_SIGNING_IN = ("hostaddr", "host", "port", "user")


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a target is."""

    target: str
    engine: EngineKind
    #: The database's name, or the file's absolute path.
    name: str
    #: ``db.example.com:5432``; empty for a file.
    server: str
    #: What tells a client the way to the server, without a password; empty for a file.
    parameters: dict[str, str]

    def free_name(self, now: datetime) -> str:
        """What a database or file beside it can be called: nobody has given that name in the same minute."""
        ending = f"_restored_{now:%Y%m%d_%H%M}"
        if self.engine is EngineKind.SQLITE:
            path = Path(self.name)
            return str(path.with_name(f"{path.stem}{ending}{path.suffix}"))
        room = LONGEST_NAME - len(ending)
        return self.name.encode()[:room].decode(errors="ignore") + ending

    def command(self, name: str) -> str:
        """What opens a database of the server, or a file, in a shell; a password is asked for."""
        if self.engine is EngineKind.SQLITE:
            return shlex.join(["sqlite3", name])
        return shlex.join(["psql", make_conninfo("", **self.parameters, dbname=name)])


class WhereaboutsService:
    """Reads what is registered; connects to nothing."""

    def __init__(self, targets: TargetService) -> None:
        self._targets = targets

    def of(self, name: str) -> Whereabouts:
        """Of one target.

        Raises:
            NotFound: there is no such target.
            ConfigurationError: its URL can't be opened.
        """
        target = self._targets.get(name)
        if target.url is None:
            raise ConfigurationError(f"The URL of {name!r} can't be opened", hint=target.problem)
        return _whereabouts(target, target.url)

    def known(self, name: str) -> Whereabouts | None:
        """As `of`; None where it is not registered, or can't be opened."""
        try:
            return self.of(name)
        except (NotFound, ConfigurationError):
            return None

    def of_kind(self, engine: EngineKind) -> Sequence[str]:
        """The names of all targets that are databases of that kind."""
        return self._targets.names_of_kind(engine)


def _whereabouts(target: ListedTarget, url: str) -> Whereabouts:
    if target.engine is EngineKind.SQLITE:
        return Whereabouts(target.name, target.engine, str(path_in(url)), "", {})
    parameters = parse_url(url).parameters
    host = parameters.get("host") or parameters["hostaddr"]
    server = host + (f":{parameters['port']}" if "port" in parameters else "")
    signing_in = {name: parameters[name] for name in _SIGNING_IN if name in parameters}
    return Whereabouts(target.name, target.engine, str(parameters["dbname"]), server, signing_in)
