"""Databases of drills on a server that the operator names: made, and removed also after a drill that was killed.

A drill holds an advisory lock of its databases' name, from before there is anything until all of it is gone. The server
lets go of it when the session ends, however it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence

import structlog
from psycopg import sql

from hhh.core.errors import EngineError
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import Administration, administering, administration
from hhh.engines.postgresql.connection import mapped_errors
from hhh.engines.postgresql.names import new_token, token_beside
from hhh.engines.postgresql.notes import ROLES_CHECK
from hhh.engines.postgresql.worker import drop_worker
from hhh.engines.proving import Place
from hhh.engines.restoring import Destination, RestoreMode

#: Of all databases of a drill: ``hhh_drill_<token>``, and what restores make of it (`hhh.engines.postgresql.names`).
_PREFIX = "hhh_drill_"
_NAME = re.compile(rf"({_PREFIX}[a-z0-9]{{8}})(?:_restore_([a-z0-9]{{8}}))?")
_HINT = "the role must own the databases of its drills: DROP DATABASE them by hand"

#: Of those that the role may drop.
_DATABASES = sql.SQL("""
    SELECT d.datname::pg_catalog.text FROM pg_catalog.pg_database d
     WHERE pg_catalog.starts_with(d.datname::pg_catalog.text, %(prefix)s) AND pg_catalog.pg_has_role(d.datdba, 'USAGE')
     ORDER BY 1
""")
_LOCK = sql.SQL("SELECT pg_catalog.pg_try_advisory_lock(%(key)s)")
_UNLOCK = sql.SQL("SELECT pg_catalog.pg_advisory_unlock(%(key)s)")

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def drill_on(server_url: str, workplace: Workplace) -> Iterator[Place]:
    """A place of a new name on that server; whatever ends the block, its databases are gone afterwards.

    Raises:
        TargetUnreachable: the server does not let the role in.
        EngineError: what was made there could not be removed.
    """
    token = new_token()
    name = f"{_PREFIX}{token}"
    with administration(server_url, workplace) as admin:
        if not _claim(admin, name):
            raise EngineError(f"Another drill has the name {name}")
        destination = Destination(
            url=server_url,
            name=name,
            mode=RestoreMode.NEW,
            token=token,
            acknowledged=frozenset({ROLES_CHECK}),
        )
        version = (admin.connection.info.parameter_status("server_version") or "").partition(" ")[0]
        try:
            yield Place(
                destination=destination,
                description=f"PostgreSQL {version}, the server that is named for drills",
                warnings=("What is restored on a server that is named has the network and the files of that server",),
            )
        except BaseException:
            _remove_if_possible(server_url, name, workplace)
            raise
        # By another connection: this one may have been lost in all that time.
        with administration(server_url, workplace) as another:
            _remove(another, name)


def sweep_drills(server_url: str, workplace: Workplace) -> int:
    """Removes the databases and roles of drills that were killed; returns of how many drills.

    Raises:
        TargetUnreachable: the server does not let the role in.
        EngineError: something could not be removed.
    """
    removed = 0
    with administration(server_url, workplace) as admin:
        names = sorted({found[1] for each in _databases(admin, _PREFIX) if (found := _NAME.fullmatch(each))})
        for name in names:
            if _claim(admin, name):  # whoever is on it holds it
                _remove(admin, name)
                _release(admin, name)
                removed += 1
    return removed


def _remove_if_possible(server_url: str, name: str, workplace: Workplace) -> None:
    try:
        with administration(server_url, workplace) as admin:
            _remove(admin, name)
    except EngineError as error:
        log.warning("drill_left_behind", database=name, error=str(error), hint="the next sweep removes it")


def _remove(admin: Administration, name: str) -> None:
    databases = _databases(admin, name)
    with administering(f"The databases of the drill {name} could not be removed", hint=_HINT):
        for database in databases:
            admin.connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
            )
    restores = (found[2] for each in databases if (found := _NAME.fullmatch(each)) and found[2])
    own = name.removeprefix(_PREFIX)
    for token in {own, token_beside(own), *restores}:
        drop_worker(admin, token, [])


def _databases(admin: Administration, prefix: str) -> Sequence[str]:
    with mapped_errors("The databases of drills could not be listed"):
        return [name for (name,) in admin.connection.execute(_DATABASES, {"prefix": prefix})]


def _claim(admin: Administration, name: str) -> bool:
    with mapped_errors("A drill could not be locked"):
        return admin.connection.execute(_LOCK, {"key": _key(name)}).fetchone() == (True,)


def _release(admin: Administration, name: str) -> None:
    with mapped_errors("A drill could not be unlocked"):
        admin.connection.execute(_UNLOCK, {"key": _key(name)})


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
