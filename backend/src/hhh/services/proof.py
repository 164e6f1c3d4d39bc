"""What a backup is good for: read back, read through, or restored and compared, level by level."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hhh.artifacts.retrieval import StoredBackup
from hhh.core.errors import IdentityMissing, ManifestInvalid, NotFound, ScratchError
from hhh.core.run import Run
from hhh.engines.base import Workplace
from hhh.models import VerificationStatus
from hhh.schemas.policy import ProofFields
from hhh.schemas.verification import Level, VerificationResult, reaches
from hhh.services.copies import Copies
from hhh.services.copy_checks import check_copy
from hhh.services.drill import Drill
from hhh.services.findings import Findings
from hhh.services.reading import read_through

#: Who can find out more of what is encrypted.
_WITH_IDENTITY = (
    "set HHH_AGE_IDENTITY_FILE, or leave it to a worker that has it (`hhh worker --queues verify`) with --detach"
)


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be found out."""

    backup_id: str
    level: Level
    #: Of the backup's target.
    policy: ProofFields
    #: Of the server that drills are to use, with its password; None: a throw-away one.
    server_url: str | None = None


class Proof:
    """Finds out what a backup is good for; records nothing."""

    def __init__(self, copies: Copies) -> None:
        self._copies = copies

    def find_out(self, demand: Demand, workplace: Workplace, run: Run) -> VerificationResult:
        """Reads every copy back, and one good copy as deeply as the level asks for.

        What speaks against the backup, and what this machine lacks, is in the result and not raised. A level is reached
        only with those before it: where a copy can't be reached, none is, and what was found is told all the same.
        A manifest in the catalogue that is damaged, or signed by a key that is not trusted, speaks against the backup;
        nothing does where it is gone, or was removed meanwhile.

        Raises:
            ConfigurationError: the identity file, or a trusted key, can't be used.
            Cancelled, LeaseLost: the run is over.
        """
        try:
            return self._look_at_copies(demand, workplace, run)
        except ManifestInvalid as error:
            return VerificationResult(errors=[str(error)])
        except NotFound as error:
            return VerificationResult(lacking=[str(error)])

    def _look_at_copies(self, demand: Demand, workplace: Workplace, run: Run) -> VerificationResult:
        look = _Look(demand, workplace, run)
        trusted_keys = self._copies.trusted_keys
        copies = [
            check_copy(copy, trusted_keys, functools.partial(look.read, copy.storage))
            for copy in self._copies.every(demand.backup_id)
        ]
        if any(copy.status != "good" for copy in copies):
            self._copies.every(demand.backup_id)  # removed meanwhile? Then nothing is wrong with it
        return look.findings.result(copies)


class _Look:
    """Reads copies one after the other: the first good one as deeply as the level asks for, the others as stored."""

    def __init__(self, demand: Demand, workplace: Workplace, run: Run) -> None:
        self._demand = demand
        self._workplace = workplace
        self._run = run
        self._found: Findings | None = Findings() if demand.level == "stored" else None

    @property
    def findings(self) -> Findings:
        """What was found out beside the copies themselves."""
        return self._found or Findings()

    def read(self, storage: str, backup: StoredBackup) -> None:
        """Reads every object of a copy once; any `StorageError` is the copy's fault."""
        if self._found is None:
            self._found = self._open(backup)
            self._found.restored_from = storage
        else:
            backup.verify(self._run)

    def _open(self, backup: StoredBackup) -> Findings:
        demand = self._demand
        try:
            backup.require_identity(backup.manifest.object)
            if demand.level == "readable":
                return read_through(backup, self._workplace, self._run)
            return Drill(backup, demand.policy, demand.server_url, self._workplace, self._run).perform()
        except IdentityMissing as error:
            lacking = f"{error.message}: {_WITH_IDENTITY}"
        except ScratchError as error:
            lacking = str(error)
        backup.verify(self._run)
        return Findings(lacking=[lacking])


def verdict(result: VerificationResult, level: Level) -> tuple[VerificationStatus, str | None]:
    """What a result comes to, and what is told if that is not success."""
    if reason := _against(result):
        return VerificationStatus.FAILED, reason
    if reaches(result.reached, level):
        return VerificationStatus.SUCCESS, None
    said = "; ".join(result.lacking) or f"the level {level} was not reached"
    return VerificationStatus.INCONCLUSIVE, said


def _against(result: VerificationResult) -> str | None:
    """The first that speaks against the backup, and how much more does."""
    found = [f"{copy.storage}: {copy.problem}" for copy in result.bad_copies]
    found += result.errors
    found += [f"{each.name}: {each.expected} expected, {each.found} found" for each in result.differences]
    found += [f"{each.sql}: {each.found}" for each in result.failed_assertions]
    if not found:
        return None
    return found[0] if len(found) == 1 else f"{found[0]}; and {len(found) - 1} more"
