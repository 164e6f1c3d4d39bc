"""What is found out about a backup, as it is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from hhh.core.errors import HHHError, Lacking, ScratchError, TargetBusy, TargetUnreachable, ToolMissing
from hhh.engines.proving import Prover
from hhh.schemas.facts import TableFacts
from hhh.schemas.restore import Check, Difference
from hhh.schemas.verification import Asserted, CheckedCopy, Level, VerificationResult

#: Errors that stand in a result; a dump of which nothing comes back has one for each of its entries.
_MOST_ERRORS = 50
#: Whatever was done, these tell of the machine and not of the backup.
_OF_THE_MACHINE = (Lacking, ToolMissing, ScratchError, TargetBusy, TargetUnreachable)


@dataclass(slots=True)
class Findings:
    """The members of `VerificationResult`, but for its copies."""

    #: Of the copy that was looked into.
    reached: Level = "stored"
    checks: list[Check] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    assertions: list[Asserted] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    tables: list[TableFacts] = field(default_factory=list)
    place: str | None = None
    isolation: list[str] = field(default_factory=list)
    restored_from: str | None = None
    restore_seconds: float | None = None
    raw_bytes: int | None = None
    restore_bytes_per_second: float | None = None

    @property
    def speak_against_content(self) -> bool:
        """As of the result that they become."""
        return self.result(()).speaks_against_content

    def note_failure(self, error: HHHError, prover: Prover, *, of_the_machine: bool = False) -> None:
        """Takes what went wrong: as what is lacking here, or as what speaks against the backup.

        Args:
            error: what was raised.
            prover: knows what the tools of its kind say where something is not installed.
            of_the_machine: whether it is, whatever it says: the backup had no part in what was done.
        """
        if of_the_machine or isinstance(error, _OF_THE_MACHINE):
            self.lacking.append(str(error))
        else:
            self.note_errors([str(error)], prover)

    def note_errors(self, errors: Sequence[str], prover: Prover) -> None:
        """Takes errors of a tool. Where one of them tells of the machine, the others may follow from it: no alarm."""
        lacking = [said for said in map(prover.lacking, errors) if said is not None]
        told = [*errors[:_MOST_ERRORS], *([f"and {len(errors) - _MOST_ERRORS} more"] if errors[_MOST_ERRORS:] else [])]
        if lacking:
            self.lacking += dict.fromkeys(lacking)
            self.warnings += told
        else:
            self.errors += told

    def result(self, copies: Sequence[CheckedCopy]) -> VerificationResult:
        """All of it. A level is reached only with those before it: every copy was read, and none is bad."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        out_of_reach = [f"{copy.storage}: {copy.problem}" for copy in copies if copy.status == "unreachable"]
        whole = all(copy.status == "good" for copy in copies)
        found |= {"reached": self.reached if whole else None, "lacking": [*out_of_reach, *self.lacking]}
        return VerificationResult(copies=list(copies), **found)
