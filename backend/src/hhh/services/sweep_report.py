"""What a sweep found, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

#: Of each kind so many are kept; all are counted, and logged.
_KEPT = 200

log = structlog.get_logger(__name__)


class FindingKind(StrEnum):
    """What can be wrong."""

    #: It was left by an attempt that did not publish.
    OBJECT_WITHOUT_MANIFEST = "object_without_manifest"
    MANIFEST_WITHOUT_ROW = "manifest_without_row"
    #: Damaged, not trusted, or without what it names: it protects whatever objects it may be of.
    MANIFEST_UNUSABLE = "manifest_unusable"
    #: The catalogue says that it is stored, and its objects are not all there.
    COPY_INCOMPLETE = "copy_incomplete"
    #: Its objects are all there.
    COPY_WITHOUT_MANIFEST = "copy_without_manifest"
    #: It was missing, no other is left, and its objects are all there again.
    COPY_FOUND = "copy_found"
    #: No store has a whole copy.
    BACKUP_LOST = "backup_lost"
    UNFINISHED_UPLOAD = "unfinished_upload"
    #: It is in the installation's folder and named like nothing of ours.
    UNKNOWN_OBJECT = "unknown_object"
    #: Nothing, or very little, of what the catalogue has there is there: it is taken for another place.
    STORE_EMPTY = "store_empty"
    #: It could not be looked at, or did not let something be done.
    STORE_FAILED = "store_failed"
    SCRATCH_LEFT = "scratch_left"
    JOB_WITHOUT_WORKER = "job_without_worker"
    JOB_WITHOUT_RECORD = "job_without_record"
    BACKUP_WITHOUT_JOB = "backup_without_job"
    #: It has a tombstone, and something of it is still there.
    REMOVAL_UNFINISHED = "removal_unfinished"


@dataclass(frozen=True, slots=True)
class SweepFinding:
    """One thing that belongs to nothing, or lacks something."""

    kind: FindingKind
    #: The name of the store; empty for what is in none.
    store: str
    #: A key, or the id of a row.
    subject: str
    #: What is wrong, and what to do.
    detail: str
    #: What was done about it; empty: nothing.
    done: str = ""


@dataclass(slots=True)
class SweepReport:
    """All of one sweep."""

    #: Whether it was to repair.
    repair: bool
    #: Whether a place that has less than half of its copies is believed.
    believe: bool = False
    #: Some of each kind.
    findings: list[SweepFinding] = field(default_factory=list)
    #: How many of each kind there were.
    counts: Counter[FindingKind] = field(default_factory=Counter)
    #: How many of each kind something was done about.
    repaired: Counter[FindingKind] = field(default_factory=Counter)
    #: What was left alone, since it is too young or may still be worked at.
    left_alone: int = 0
    #: Names of stores that were not looked at to the end, and why.
    failed_stores: dict[str, str] = field(default_factory=dict)
    #: Without repair: backups and the stores that have no whole copy of them, though the catalogue says so.
    incomplete: set[tuple[str, str]] = field(default_factory=set)

    def add(self, finding: SweepFinding) -> None:
        """Takes and logs a finding."""
        self.counts[finding.kind] += 1
        self.repaired[finding.kind] += bool(finding.done)
        if self.counts[finding.kind] <= _KEPT:
            self.findings.append(finding)
        said = log.error if finding.kind is FindingKind.BACKUP_LOST else log.warning
        said(
            "sweep_finding",
            kind=finding.kind,
            store=finding.store,
            subject=finding.subject,
            detail=finding.detail,
            done=finding.done,
        )

    def fail(self, store: str, reason: str) -> None:
        """Notes that a store could not be looked at to the end."""
        self.failed_stores[store] = reason
        self.refuse(store, "", reason)

    def refuse(self, store: str, subject: str, reason: str) -> None:
        """Notes that a store did not do something."""
        self.add(SweepFinding(FindingKind.STORE_FAILED, store, subject, reason))

    @property
    def left_out(self) -> dict[FindingKind, int]:
        """How many of each kind are not among the findings that are kept."""
        return {kind: count - _KEPT for kind, count in self.counts.items() if count > _KEPT}

    @property
    def total(self) -> int:
        """How many findings there were."""
        return sum(self.counts.values())
