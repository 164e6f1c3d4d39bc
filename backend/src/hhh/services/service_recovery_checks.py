"""What must hold before the service is brought back: where it goes nothing is there, and the keys are right."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from hhh import migrations
from hhh.core import signing
from hhh.core.config import Settings
from hhh.core.database import Database, mapped_errors
from hhh.core.errors import ConfigurationError, InUse
from hhh.core.scratch import scratch_folder
from hhh.core.secretbox import SecretBox
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.postgresql.admin import administration, database_row
from hhh.engines.postgresql.url import parse_url
from hhh.engines.registry import engine_for
from hhh.engines.restoring import RestoreMode
from hhh.engines.sqlite.files import BESIDE, taken_by
from hhh.engines.sqlite.url import path_in
from hhh.models import Target
from hhh.repositories import installation as rows
from hhh.repositories import sealing
from hhh.repositories import targets as target_rows
from hhh.schemas.restore import Check
from hhh.services.sealing import opens, target_owner

#: By these names an operator goes on without a key.
SECRET_KEY, SIGNING_KEY = "secret-key", "signing-key"
#: What is there already is never overwritten, not even by a kit.
_IN_KIT = "a recovery kit with secrets has the right one (--kit); one that is here already must be moved away first"
#: Schema of all our tables on PostgreSQL.
_SCHEMA = "public"


def place(settings: Settings) -> tuple[str, RestoreMode, tuple[str, ...]]:
    """Where the own database goes: its URL, how, and what of the backup.

    A SQLite file, or a PostgreSQL database that is not there or has no table but of a recovery that was killed: only of
    the one that is not there is it known that the role may make one.

    Raises:
        InUse: there is something already.
        EngineError: the server does not answer.
    """
    url = settings.own_database_url
    if engine_for(url).kind is EngineKind.SQLITE:
        path = path_in(url)
        if (taken := taken_by(path)) is not None:
            raise _in_use(str(taken), f"move it away: {_away(path)}")
        return url, RestoreMode.NEW, ()
    name = parse_url(url).parameters["dbname"]
    with (
        scratch_folder(settings.scratch_dir, "recovery") as scratch,
        administration(url, Workplace(scratch, settings.pg_bin_dir)) as admin,
    ):
        if database_row(admin.connection, name) is None:
            return url, RestoreMode.NEW, ()
    if _is_taken(url):
        raise _in_use(f"the database {name}", "name an empty one in HHH_DATABASE_URL, or rename this one")
    return url, RestoreMode.TABLES, (_SCHEMA,)


def check_keys(settings: Settings, session: Session, signer: str) -> Sequence[Check]:
    """Whether the keys of this machine are those of the installation in a restored own database; none is made.

    Args:
        settings: of this machine.
        session: of the restored database.
        signer: the public key that its backup is signed by: the installation's own, where that never told.
    """
    known = rows.signing_key(session) or signer
    return [*_check_secret(settings, session), _check_signing_key(settings.signing_key_path, known)]


def secret_of(settings: Settings) -> bytes | None:
    """The present ``HHH_SECRET_KEY``; None where there is none, and none is made."""
    kept = settings.data_dir / "secret.key"
    return settings.secret if settings.secret_key.get_secret_value() or kept.is_file() else None


def _check_secret(settings: Settings, session: Session) -> Collection[Check]:
    secret, sealed_check, targets = secret_of(settings), sealing.sealed_check(session), target_rows.all_by_name(session)
    if sealed_check is None and not targets:
        return ()  # nothing is sealed
    if secret is None:
        what = f"HHH_SECRET_KEY is not set, and there is no {settings.data_dir / 'secret.key'}"
    elif not _opens_anything(SecretBox(secret), sealed_check, targets):
        where = settings.data_dir / "secret.key"
        is_set = settings.secret_key.get_secret_value()
        what = f"{'HHH_SECRET_KEY' if is_set else where} is not the one that this installation had"
    else:
        return (Check.ok(SECRET_KEY, "HHH_SECRET_KEY opens what is sealed"),)
    lost = "the URLs of all targets and the options of all stores must be typed again, and second factors set up anew"
    return (Check.doubtful(SECRET_KEY, f"{what}: {_IN_KIT}. Without, {lost}"),)


def _opens_anything(box: SecretBox, sealed_check: str | None, targets: Collection[Target]) -> bool:
    if sealed_check is not None:
        return opens(box, sealed_check)
    for target in targets:
        with contextlib.suppress(ConfigurationError):
            box.open(target.sealed_url, owner=target_owner(target.name))
            return True
    return False


def _check_signing_key(path: Path, known: str) -> Check:
    if not path.is_file():
        what = f"There is no signing key {path}"
    elif (found := signing.load_or_make(path).public_key) != known:
        what = f"The signing key {path} is {found}, and the installation signs with {known}"
    else:
        return Check.ok(SIGNING_KEY, "It is the key that the installation signs with")
    lost = f"new manifests are signed by another, and the old ones count only with HHH_TRUSTED_KEYS={known}"
    return Check.doubtful(SIGNING_KEY, f"{what}: {_IN_KIT}. Without, {lost}")


def _is_taken(url: str) -> bool:
    with contextlib.closing(Database(url)) as database:
        if migrations.is_filling(database):
            return False
        with mapped_errors():
            return bool(inspect(database.engine).get_table_names())


def _away(path: Path) -> str:
    """The commands that move a database aside, so that it is one there as well."""
    beside = ("", *BESIDE)
    there = [ending for ending in beside if os.path.lexists(f"{path}{ending}")]
    return "; ".join(f"mv {shlex.quote(f'{path}{ending}')} {shlex.quote(f'{path}.before{ending}')}" for ending in there)


def _in_use(what: str, hint: str) -> InUse:
    return InUse(
        f"The service's own database is to be restored, and there is {what} already",
        hint=f"{hint}. Was a recovery stopped while it read the stores? Then it is whole: `hhh catalogue rebuild` does "
        "the rest. In a service that runs: `hhh restore latest --target app --replace --confirm app`",
    )
