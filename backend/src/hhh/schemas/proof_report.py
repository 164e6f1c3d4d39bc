"""The proof report: what one verification found, for somebody who was not there.

A report is signed and kept for years: what stands here changes only with another `ProofReport.version`. It has no
fractions, as little as a manifest: other tools would print them in other ways.
"""

from __future__ import annotations

from typing import Final, Literal

from hhh.schemas.base import ApiModel, Moment
from hhh.schemas.verification import Level

FORMAT: Final = "hhh-proof-report"
VERSION: Final = 1


class ReportedVerification(ApiModel):
    """What was asked for, when, and what it came to."""

    id: str
    level: Level
    #: The highest level that the backup reached.
    reached: Level | None
    status: Literal["success", "failed", "inconclusive"]
    requested_by: str
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment
    duration_milliseconds: int | None
    #: What it failed with, or why it is inconclusive.
    reason: str | None


class ReportedObject(ApiModel):
    """The object that holds the dump, as its signed manifest has it."""

    key: str
    #: Bytes in the store.
    size: int
    #: Of the bytes in the store.
    sha256: str
    #: Bytes before compression and encryption.
    raw_size: int
    compression: str | None
    encryption: str | None


class ReportedManifest(ApiModel):
    """What the backup's manifest tells; its signature says which one it is."""

    engine: str
    finished_at: Moment
    attempt: int
    object: ReportedObject
    recipients: list[str]
    versions: dict[str, str]
    #: The Ed25519 public key that it is signed by, in base64, and the signature.
    signed_by: str
    signature: str


class ReportedBackup(ApiModel):
    """What was verified."""

    id: str
    target: str
    backup_file: str
    #: The moment of its snapshot.
    created_at: Moment
    #: None where the backup, or its manifest, is no longer in the catalogue.
    manifest: ReportedManifest | None


class ReportedRestore(ApiModel):
    """Where to it was restored, and how long that took; all None where nothing was."""

    place: str | None
    #: The store whose copy was read.
    restored_from: str | None
    #: What the restored code could not reach.
    isolation: list[str]
    milliseconds: int | None
    #: Bytes of the dump.
    raw_bytes: int | None
    bytes_per_second: int | None


class ReportedCopy(ApiModel):
    """One copy that was read back."""

    storage: str
    status: str
    #: Bytes of all its objects, as stored.
    size: int
    problem: str | None


class ReportedCheck(ApiModel):
    """One thing that was looked at before the restore."""

    name: str
    status: str
    message: str


class ReportedTable(ApiModel):
    """One table; what was not looked at is None."""

    name: str
    #: As counted in the snapshot of the dump.
    rows_expected: int | None
    #: As counted in what was restored.
    rows_found: int | None
    #: Of the rows that were restored, with the name of its algorithm.
    fingerprint: str | None


class ReportedDifference(ApiModel):
    """One fact of the backup that what was restored does not have."""

    name: str
    expected: str
    found: str


class ReportedAssertion(ApiModel):
    """One query of the operator, asked of what was restored."""

    sql: str
    holds: bool
    found: str
    milliseconds: int


class ProofReport(ApiModel):
    """One finished verification."""

    format: Literal["hhh-proof-report"] = FORMAT
    version: Literal[1] = VERSION
    #: Which service verified, and its release.
    installation: str
    product_version: str
    verification: ReportedVerification
    backup: ReportedBackup
    restore: ReportedRestore
    copies: list[ReportedCopy]
    checks: list[ReportedCheck]
    #: What was compared with the source, in words.
    compared: list[str]
    tables: list[ReportedTable]
    differences: list[ReportedDifference]
    assertions: list[ReportedAssertion]
    #: What speaks against the backup, in the words of the tools.
    errors: list[str]
    #: What the machine lacked to find out more.
    lacking: list[str]
    warnings: list[str]


class Signature(ApiModel):
    """Of all that a report holds beside it."""

    algorithm: Literal["ed25519"]
    #: In base64, as the signature is.
    public_key: str
    value: str


class SignedProofReport(ProofReport):
    """A report as it is handed out."""

    signature: Signature
