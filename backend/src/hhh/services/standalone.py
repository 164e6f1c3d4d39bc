"""A restore without server and catalogue: a store, and a destination that the operator names.

It works on a machine that has nothing but the program; settings count where there are any. Nothing is written but the
destination and, while it runs, scratch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hhh.artifacts.identities import Identities
from hhh.artifacts.retrieval import StoredBackup
from hhh.core import signing
from hhh.core.config import Settings
from hhh.core.errors import InvalidInput
from hhh.core.scratch import scratch_folder, sweep
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.postgresql.passwords import with_password
from hhh.engines.postgresql.url import parse_url
from hhh.engines.registry import engine_for
from hhh.engines.restoring import Destination, RestoreMode
from hhh.engines.sqlite.url import path_in, url_of
from hhh.services.choosing import ChosenBackup
from hhh.services.restoration import Restoration, new_token
from hhh.services.trust import further_keys


@dataclass(frozen=True, slots=True)
class Aim:
    """Where to, and how."""

    #: A path or ``sqlite:///…``; or ``postgresql://…``, whose database is the one to make.
    to: str = field(repr=False)
    mode: RestoreMode = RestoreMode.NEW
    #: For `RestoreMode.REPLACE`: the name of the database, or of the file, typed.
    confirm: str | None = None
    #: As in `Destination`.
    tables: tuple[str, ...] = ()
    acknowledged: frozenset[str] = frozenset()
    #: Whether it is only planned: then nothing needs to be confirmed.
    only_planned: bool = False
    #: As in `Destination`; who chooses it can `hhh.engines.restoring.Restorer.discard` what an earlier one left.
    #: None: each restore gets one of its own.
    token: str | None = None


def known_keys(settings: Settings, named: Collection[str]) -> frozenset[str] | None:
    """The public keys whose signature counts: the named ones and those of the settings; None where there are none.

    Args:
        settings: an installation's own key counts if it is here; none is made.
        named: by the operator.

    Raises:
        ConfigurationError: a key of the settings can't be used.
    """
    keys = {*named, *further_keys(settings)}
    if settings.signing_key_path.is_file():
        keys.add(signing.load_or_make(settings.signing_key_path).public_key)
    return frozenset(keys) or None


@contextlib.contextmanager
def standalone(
    backup: ChosenBackup,
    aim: Aim,
    settings: Settings,
    *,
    identity_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Restoration]:
    """A restore of the backup, with scratch that is gone when the block is left.

    Args:
        backup: as `hhh.services.choosing.choose` found it.
        aim: where to.
        settings: for scratch, PostgreSQL's programs and an identity, as far as they are there.
        identity_file: instead of the settings' own.
        environment: where a password may stand that the URL does not have.

    Raises:
        InvalidInput: the destination is of another kind than the backup, or replacing it is not confirmed.
        ConfigurationError: the identity file can't be used.
        ScratchError: there is no place to work.
    """
    destination = _destination(backup.manifest.engine, aim, environment)
    identities = Identities.load(identity_file or settings.age_identity_file)
    stored = StoredBackup(backup.storage, backup.manifest, identities)
    sweep(settings.scratch_dir)  # no service sees to it where there is none
    with scratch_folder(settings.scratch_dir, "restore") as scratch:
        workplace = Workplace(scratch, settings.pg_bin_dir)
        yield Restoration(stored, destination, workplace, earlier_checks=backup.checks)


def _destination(engine: EngineKind, aim: Aim, environment: Mapping[str, str]) -> Destination:
    if engine is EngineKind.SQLITE:
        url, name = _sqlite(aim.to)
        typed = Path(name).name
    else:
        url, name = _postgresql(aim.to, environment)
        typed = name
    if aim.mode is RestoreMode.REPLACE and not aim.only_planned and aim.confirm not in {name, typed}:
        raise InvalidInput(f"It would replace {name}", hint=f"if that is meant, type its name: --confirm {typed}")
    return Destination(url, name, aim.mode, aim.token or new_token(), aim.tables, aim.acknowledged)


def _sqlite(to: str) -> tuple[str, str]:
    if "://" not in to:
        to = url_of(os.path.abspath(Path(to).expanduser()))  # noqa: PTH100  `..` is resolved, links are not
    if engine_for(to).kind is not EngineKind.SQLITE:
        raise InvalidInput("The backup is of a SQLite database", hint="give --to a path, or sqlite:////path")
    path = path_in(to)
    return url_of(path), str(path)


def _postgresql(to: str, environment: Mapping[str, str]) -> tuple[str, str]:
    if "://" not in to or engine_for(to).kind is not EngineKind.POSTGRESQL:
        hint = "give --to postgresql://user@host/name, with the name of the database to make"
        raise InvalidInput("The backup is of a PostgreSQL database", hint=hint)
    address = with_password(parse_url(to), environment)
    return address.url, address.parameters["dbname"]
