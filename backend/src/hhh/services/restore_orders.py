"""What a restore is asked for: from a request to a row, and from a row to the restoration that is performed."""

from __future__ import annotations

import contextlib
import json

from hhh.artifacts.fallback import AnyCopy
from hhh.artifacts.identities import Identities
from hhh.artifacts.manifest import Manifest, parse_manifest
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, ManifestInvalid, NotFound, StorageError
from hhh.engines.base import Workplace
from hhh.engines.restoring import RestoreMode
from hhh.models import BackupLog, BackupStatus, CopyStatus, JobState, Restore
from hhh.repositories import backups as backup_rows
from hhh.schemas.restore import Check, RestoreRequest
from hhh.services import cursors
from hhh.services.installation import Identity
from hhh.services.places import Places, destination_of
from hhh.services.restoration import Restoration, new_token, refusal
from hhh.services.restore_records import RestoreRecords
from hhh.services.stores import StoreService
from hhh.services.targets import Target, TargetService
from hhh.services.trust import trusted_keys

#: Who asks on the machine itself: free in which folder to restore to.
COMMAND_LINE = "cli"

#: The name of a check.
_SIGNATURE = "signature"
_TARGET_HINT = "`hhh target list`: add it, or name another one with --target (over HTTP `target`)"


class RestoreOrders:
    """Reads what a restore needs; touches no destination."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        identity: Identity,
        targets: TargetService,
        stores: StoreService,
        records: RestoreRecords,
        places: Places,
    ) -> None:
        self._settings = settings
        self._database = database
        self._identity = identity
        self._targets = targets
        self._stores = stores
        self._records = records
        self._places = places

    def restore(self, asked: RestoreRequest, *, requested_by: str, address: str) -> Restore:
        """The row of a restore, its id and time still to be set.

        Raises:
            NotFound: no such backup or target.
            InvalidInput: it can't be asked for like this.
        """
        backup = self._backup(asked.backup_id)
        target = self._destination_target(asked, backup)
        _check_tables(asked)
        name = self._places.name(
            target, RestoreMode(asked.mode), asked.destination, anywhere=requested_by == COMMAND_LINE
        )
        row = Restore(
            backup_id=backup.id,
            target=backup.target,
            destination_target=target.name,
            mode=asked.mode,
            destination=name,
            tables=asked.tables,
            acknowledge=asked.acknowledge,
            dry_run=asked.dry_run,
            requested_by=requested_by,
            address=address,
        )
        return _queued(row)

    def undo(self, undone: Restore, *, requested_by: str, address: str) -> Restore:
        """The row of what takes a restore back; see `restore`.

        Raises:
            RestoreUnsafe: there is nothing to bring back.
        """
        refuse_undo(undone)
        row = Restore(
            undo_of=undone.id,
            backup_id=undone.backup_id,
            target=undone.target,
            destination_target=undone.destination_target,
            mode=RestoreMode.REPLACE,
            destination=undone.destination,
            tables=[],
            acknowledge=[],
            dry_run=False,
            requested_by=requested_by,
            address=address,
        )
        return _queued(row)

    def restoration(self, row: Restore, workplace: Workplace) -> Restoration:
        """What performs it. All that may have changed since the request is looked at again.

        Raises:
            NotFound: the backup or the target is gone.
            InvalidInput: the destination is not allowed any more.
            RestoreUnsafe: the manifest is damaged.
            ConfigurationError: the identity file can't be used.
        """
        backup = self._backup(row.backup_id or "")
        target = self._targets.find(row.destination_target)
        mode = RestoreMode(row.mode)
        asked = None if mode is RestoreMode.REPLACE else row.destination
        if self._places.name(target, mode, asked, anywhere=row.requested_by == COMMAND_LINE) != row.destination:
            raise InvalidInput(
                "The destination is another one than when the restore was asked for", hint="ask for it again"
            )
        manifest, signature = self._manifest(backup)
        return Restoration(
            backup=self._copy(backup, manifest),
            destination=destination_of(row, self._places.url(target, row.destination)),
            workplace=workplace,
            earlier_checks=(signature,),
            measured_rate=self._records.rate(manifest.engine),
        )

    def _backup(self, backup_id: str) -> BackupLog:
        with self._database.snapshot() as session:
            backup = backup_rows.get(session, backup_id) if cursors.is_id(backup_id) else None
        if backup is None:
            raise NotFound("No backup has that id", hint="see `hhh backup list`")
        if backup.status != BackupStatus.SUCCESS or backup.manifest is None:
            raise InvalidInput(
                f"The backup is {backup.status.lower()}: there is nothing to restore", hint="see `hhh backup list`"
            )
        return backup

    def _destination_target(self, asked: RestoreRequest, backup: BackupLog) -> Target:
        try:
            target = self._targets.find(asked.target or backup.target)
        except NotFound as error:
            raise NotFound(error.message, hint=_TARGET_HINT) from None
        engine = (backup.manifest or {}).get("engine")
        if engine != target.engine.kind:
            raise InvalidInput(
                f"The backup is of {engine}, and the target {target.name!r} is {target.engine.kind}",
                hint="name a target of that kind with --target (over HTTP `target`): `hhh target list`",
            )
        if asked.mode == "replace" and not asked.dry_run:
            _check_replace(asked, target)
        return target

    def _manifest(self, backup: BackupLog) -> tuple[Manifest, Check]:
        """The manifest, and what its signature tells: with the other checks, since all reasons are listed at once."""
        content = json.dumps(backup.manifest).encode()
        try:
            manifest = parse_manifest(content, None)
        except ManifestInvalid as error:
            raise refusal([Check.unsafe(_SIGNATURE, str(error))]) from None
        try:
            parse_manifest(content, trusted_keys(self._settings, self._identity))
        except ManifestInvalid as error:
            return manifest, Check.unsafe(_SIGNATURE, str(error))
        return manifest, Check.ok(_SIGNATURE, "The manifest is signed by a key that is trusted here")

    def _copy(self, backup: BackupLog, manifest: Manifest) -> AnyCopy:
        """The copies in stores that are known here, the good ones first; which of them is good is found out."""
        status = {copy.storage: copy.status for copy in backup.copies}
        known = [store for store in self._stores.all() if store.name in status]
        if not known:
            raise InvalidInput(
                "No store that this service knows has a copy of the backup",
                hint="see `hhh storage list`; `hhh restore --from` reads any",
            )
        stored = [store.storage for store in known if status[store.name] == CopyStatus.STORED]
        # One that is marked as missing may be no more than damaged in part, or back by now: it is all there is.
        storages = stored or [store.storage for store in known]
        copy = AnyCopy(storages, manifest, Identities.load(self._settings.age_identity_file))
        with contextlib.suppress(StorageError):  # the checks tell of it
            copy.choose()
        return copy


def refuse_undo(row: Restore) -> None:
    """Raises `RestoreUnsafe` if nothing is kept of what a restore replaced."""
    if row.undone_at is not None:
        reason = "It was undone already"
    elif row.kept is None and row.kept_until is None and row.mode != RestoreMode.REPLACE:
        reason = "It replaced nothing"
    elif row.kept is None or row.kept_until is None or row.kept_until <= utcnow():
        reason = "What it replaced is not kept, or no longer"
    else:
        return
    raise refusal([Check.unsafe("kept", reason)])


def _queued(row: Restore) -> Restore:
    row.token, row.status, row.unfinished = new_token(), JobState.QUEUED, False
    return row


def _check_replace(asked: RestoreRequest, target: Target) -> None:
    if asked.confirm != target.name:
        raise InvalidInput(
            "A restore that replaces needs the target's name as confirmation",
            hint=f"{target.name!r}, with --confirm (over HTTP `confirm`)",
        )


def _check_tables(asked: RestoreRequest) -> None:
    if any(
        "\0" in name or name != name.encode("utf-8", "replace").decode() for name in asked.tables + asked.acknowledge
    ):
        raise InvalidInput("A name holds what is no text: a zero character, or half of a surrogate pair")
    if asked.mode == "tables" and not asked.tables:
        raise InvalidInput("No tables are named", hint="list them in `tables`, as schema.table or schema")
    if asked.mode != "tables" and asked.tables:
        raise InvalidInput(f"A restore in the mode {asked.mode!r} takes all tables", hint="use the mode 'tables'")
