"""One restore, from a store to its destination: checks, build beside it, compare, publish.

Needs no catalogue and no server: `hhh restore --from` works with it alone. What was there before is touched only by the
last step, which happens or does not.
"""

from __future__ import annotations

import secrets
import shutil
import string
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hhh.artifacts.manifest import Manifest, StoredObject
from hhh.artifacts.retrieval import StoredBackup
from hhh.core.errors import (
    ArtifactDamaged,
    EngineError,
    HHHError,
    IdentityMissing,
    InvalidInput,
    ObjectMissing,
    RestoreFailed,
    RestoreUnsafe,
    ScratchError,
)
from hhh.core.run import Progress, Run
from hhh.engines import registry
from hhh.engines.base import Workplace
from hhh.engines.restoring import Built, Destination, Restorer, RestoreSource
from hhh.schemas.restore import Check, Plan, Receipt
from hhh.services import receipts
from hhh.services.comparison import compare

#: What the store gives is not what the manifest says.
_DAMAGE: Final = (ArtifactDamaged, ObjectMissing)


_TOKEN_LENGTH: Final = 8


def new_token() -> str:
    """A token for `hhh.engines.restoring.Destination`: nobody else's names are made of it."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(_TOKEN_LENGTH))


def refusal(reasons: Sequence[Check]) -> RestoreUnsafe:
    """What is raised since these checks stand against a restore."""
    names = [check.acknowledge for check in reasons if check.acknowledge]
    hint = f"to go on in spite of it, acknowledge {', '.join(names)}" if len(names) == len(reasons) else None
    return RestoreUnsafe([check.model_dump(mode="json") for check in reasons], hint=hint)


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is to be restored, to where, and where to work."""

    backup: StoredBackup
    destination: Destination
    workplace: Workplace
    #: Checks made before, e.g. of the manifest's signature.
    earlier_checks: tuple[Check, ...] = ()
    #: Bytes a second that this installation's restores of this kind took; None without any.
    measured_rate: float | None = None

    def plan(self, run: Run, *, thorough: bool = True) -> Plan:
        """All checks, and what would happen.

        Args:
            run: who is told, and may cancel.
            thorough: whether to read the stored object to its end and compare its hash; without, only what manifest,
                facts and destination tell, and the sizes of the objects.

        Raises:
            InvalidInput: a check is acknowledged that is not known here.
            HHHError: it could not be planned at all, e.g. since the store does not answer.
        """
        plan, _ = self._look(run, thorough=thorough)
        return plan

    def perform(
        self,
        run: Run,
        *,
        planned: Callable[[Plan], None] | None = None,
        prepare: Callable[[Built], None] | None = None,
    ) -> Receipt:
        """Restores. Whatever is raised, what was there before is as it was, and nothing is left beside it.

        Args:
            run: who is told, and may cancel.
            planned: told of the plan before anything is touched, also where the plan is not safe.
            prepare: works on what was built and compared, before it is published.

        Raises:
            InvalidInput: a check is acknowledged that is not known here.
            RestoreUnsafe: checks stand against it.
            RestoreFailed: the tool reported an error, or what was restored differs; ``receipt`` says how.
            HHHError: anything else that failed.
        """
        begun = time.monotonic()
        plan, source = self._look(run, thorough=False)
        if planned is not None:
            planned(plan)
        if source is None or plan.reasons:
            raise refusal(plan.reasons)
        # One download: pg_restore and SQLite get the dump only after its hash was that of the manifest.
        run.report(Progress("download", expected_bytes=self._manifest.object.size))
        self._fetch(self._manifest.object, self._dump_path, run, stage="download")
        source = replace(source, dump=self._dump_path)
        try:
            receipt = self._build(source, run, prepare)
            run.raise_if_cancelled()
            run.report(Progress("swap"))
            kept = self._restorer.publish(self.destination, self.workplace, run)
        except BaseException as error:
            _discard(self.destination, self._restorer, self.workplace, error)
            raise
        return receipts.timed(receipt, time.monotonic() - begun, kept=kept)

    def _build(self, source: RestoreSource, run: Run, prepare: Callable[[Built], None] | None) -> Receipt:
        begun = time.monotonic()
        run.report(Progress("restore"))
        built = self._restorer.build(source, self.destination, self.workplace, run)
        run.report(Progress("compare"))
        only = receipts.selected(source.facts, built, self.destination)
        differences = compare(source.facts, built.facts, only=only)
        receipt = receipts.make(self._manifest, source.facts, built, differences, only=only)
        if receipt.errors or receipt.differences:
            failed = receipts.timed(receipt, time.monotonic() - begun, kept=None)
            raise RestoreFailed(receipts.verdict(failed), receipt=failed.model_dump(mode="json"))
        if prepare is not None:
            prepare(built)
        return receipt

    def _look(self, run: Run, *, thorough: bool) -> tuple[Plan, RestoreSource | None]:
        """The plan, and what it was made from; None where the facts of the backup can't be read."""
        run.report(Progress("checks"))
        checks = [*self.earlier_checks, self._check_object(run, thorough=thorough)]
        source, problem = self._read_source(run)
        checks += [_check_identity(self._manifest, problem), self._check_scratch()]
        steps: Sequence[str] = ()
        if source is not None:
            checks += self._check_destination(source)
            steps = self._restorer.steps(source, self.destination)
        elif not isinstance(problem, IdentityMissing):
            checks.append(Check.unsafe("facts", f"Nothing could be compared with the destination: {problem}"))
        run.raise_if_cancelled()
        accepted = self.destination.acknowledged
        if source is not None:  # without, the engine's checks were not made, and their names are not known
            _refuse_unknown(accepted, checks)
        plan = Plan(
            steps=list(steps),
            checks=[acknowledge(check, accepted) for check in checks],
            expected_seconds=self._manifest.object.raw_size / self.measured_rate if self.measured_rate else None,
        )
        return plan, source

    def _check_object(self, run: Run, *, thorough: bool) -> Check:
        objects = self._manifest.objects
        stored = sum(each.size for each in objects)
        try:
            if thorough:
                self.backup.verify(run)
                return Check.ok(
                    "object", f"{len(objects)} objects, {stored} bytes: each was read, and its hash is right"
                )
            for each in objects:
                _compare_size(each, self.backup.storage.head(each.key).size)
        except _DAMAGE as error:
            return Check.unsafe("object", str(error))
        return Check.ok(
            "object", f"{len(objects)} objects, {stored} bytes are there; hashes are compared while they are read"
        )

    def _read_source(self, run: Run) -> tuple[RestoreSource | None, HHHError | None]:
        """Facts and small files, or why they can't be had."""
        try:
            facts = self.backup.facts()
            attachments = {}
            for number, stored in enumerate(self._manifest.attachments):
                # Not under its own name: a manifest may be anybody's.
                attachments[stored.name] = self.workplace.scratch / f"attachment-{number}"
                self._fetch(stored, attachments[stored.name], run, stage="checks")
        except (*_DAMAGE, IdentityMissing, ScratchError) as error:
            return None, error
        versions, raw_size = self._manifest.versions, self._manifest.object.raw_size
        return RestoreSource(facts, versions, raw_size, attachments), None

    def _fetch(self, stored: StoredObject, path: Path, run: Run, *, stage: str) -> None:
        path.unlink(missing_ok=True)  # of an earlier pass
        self.backup.fetch(stored, path, run, stage=stage)

    def _check_scratch(self) -> Check:
        needed = self._manifest.object.raw_size + sum(each.raw_size for each in self._manifest.attachments)
        try:
            free = shutil.disk_usage(self.workplace.scratch).free
        except OSError as error:
            return Check.unsafe("scratch_space", f"The scratch folder can't be used: {error.strerror}")
        said = f"{needed} bytes go to the scratch folder, {free} bytes are free there"
        if free < needed:
            return Check.unsafe("scratch_space", f"{said}: free some space, or set HHH_SCRATCH_DIR to another folder")
        return Check.ok("scratch_space", said)

    def _check_destination(self, source: RestoreSource) -> Sequence[Check]:
        try:
            return self._restorer.checks(source, self.destination, self.workplace)
        except EngineError as error:
            return [Check.unsafe("destination", f"The destination could not be looked at: {error}")]

    @property
    def _manifest(self) -> Manifest:
        return self.backup.manifest

    @property
    def _restorer(self) -> Restorer:
        return registry.restorer_for(self._manifest.engine)

    @property
    def _dump_path(self) -> Path:
        return self.workplace.scratch / "dump"


def take_back(destination: Destination, kept: str, restorer: Restorer, workplace: Workplace, run: Run) -> str:
    """Takes a restore back. Whatever is raised, what it had brought is as it was, and nothing is left beside it.

    Args:
        destination: of the restore, with the token of the undo.
        kept: what the restore replaced.
        restorer: of its kind of database.
        workplace: where to work.
        run: who is told, and may cancel.

    Returns:
        The name under which what the restore had brought is kept now.

    Raises:
        HHHError: it failed.
    """
    try:
        return restorer.undo(destination, kept, workplace, run)
    except BaseException as error:
        _discard(destination, restorer, workplace, error)
        raise


def _discard(destination: Destination, restorer: Restorer, workplace: Workplace, error: BaseException) -> None:
    try:
        restorer.discard(destination, workplace)
    except BaseException as left:  # noqa: BLE001  what went wrong first is what is told, with this as its note
        error.add_note(f"Something of the restore is left beside {destination.name}: {left}")


def _compare_size(stored: StoredObject, found: int) -> None:
    if found != stored.size:
        raise ArtifactDamaged(f"{stored.key} has {found} bytes, stored were {stored.size}")


def _check_identity(manifest: Manifest, problem: HHHError | None) -> Check:
    if isinstance(problem, IdentityMissing):
        return Check.unsafe("identity", str(problem))
    if all(each.encryption is None for each in manifest.objects):
        return Check.ok("identity", "The backup is not encrypted")
    if problem is not None:
        return Check.unknown("identity", "Nothing could be opened to try the identity")
    return Check.ok("identity", "The identity opens it")


def acknowledge(check: Check, accepted: Collection[str]) -> Check:
    """The check as it counts where checks of these names are accepted."""
    if check.status == "unsafe" and check.acknowledge in accepted:
        return check.model_copy(update={"status": "acknowledged"})
    return check


def _refuse_unknown(accepted: Collection[str], checks: Collection[Check]) -> None:
    # One that holds by now may be named as well: it did not when the caller planned.
    known = {check.name for check in checks} | {check.acknowledge for check in checks}
    unknown = sorted(set(accepted) - known)
    if unknown:
        offered = sorted({check.acknowledge for check in checks if check.acknowledge})
        hint = f"known are {', '.join(offered)}" if offered else "nothing here needs to be acknowledged"
        raise InvalidInput(f"No check to acknowledge is named {', '.join(map(repr, unknown))}", hint=hint)
