"""Signed reports of verifications, for whoever has to be shown that a backup can be restored.

The same verification gives the same report, byte for byte, as long as its backup is in the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hhh.artifacts.manifest import parse_manifest
from hhh.core import signed_json
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, ManifestInvalid, ReportInvalid
from hhh.core.version import PRODUCT_VERSION
from hhh.models import BackupLog, Verification
from hhh.models.verification import CONCLUDED
from hhh.repositories import backups as backup_rows
from hhh.schemas.proof_report import FORMAT, VERSION, ProofReport, ReportedTable
from hhh.schemas.verification import VerificationResult
from hhh.services import proof_page
from hhh.services.comparison import ROWS_OF, TABLE, full_name
from hhh.services.installation import Identity
from hhh.services.verification import duration_of, row_of

_FORM = signed_json.Form("proof report", FORMAT, VERSION, ProofReport, ReportInvalid)


class ProofReports:
    """Issues them."""

    def __init__(self, database: Database, identity: Identity) -> None:
        self._database = database
        self._identity = identity

    def issue(self, verification_id: str) -> bytes:
        """The report of a verification that has ended: JSON, signed by this installation.

        Raises:
            NotFound: no verification has that id.
            InvalidInput: it has not ended, or was cancelled: there is nothing to report.
            ConfigurationError: the signing key can't be used.
        """
        with self._database.snapshot() as session:
            row = row_of(session, verification_id)
            if row.status not in CONCLUDED or row.finished_at is None:
                raise InvalidInput(
                    f"The verification is {row.status}: there is nothing to report", hint="wait for its end"
                )
            backup = backup_rows.get(session, row.backup_id)
        report = _report(row, backup, self._identity.installation)
        return signed_json.sign(report.model_dump(mode="json"), self._identity.signing_key)


def check(content: bytes, trusted_keys: Collection[str]) -> ProofReport:
    """What a report tells, in either of its forms.

    Raises:
        ReportInvalid: it is none, anything of it was changed after it was issued, or it is not signed by these keys.
    """
    if not content.lstrip().startswith(b"<"):
        return _read(content, trusted_keys)
    data = proof_page.signed_data(content)
    report = _read(data, trusted_keys)
    if proof_page.draw(data, report) != content:
        raise ReportInvalid(
            "This page was changed: it is not what its signed data shows, though that is as it was signed",
            hint="believe nothing that stands there; ask for the report again",
        )
    return report


def page(content: bytes) -> bytes:
    """The page of a report that was just issued."""
    return proof_page.draw(content, _read(content, None))


def tables(result: VerificationResult) -> Iterator[ReportedTable]:
    """Each with both counts: what was compared, and does not stand among the differences, is as it was expected."""
    differing = {each.name: each for each in result.differences}
    compared = bool(result.compared or result.differences)
    for table in result.tables:
        name = full_name(table.schema_name, table.name)
        expected: int | None = table.rows
        if (difference := differing.pop(f"{ROWS_OF}{name}", None)) is not None:
            expected = _count(difference.expected)
        elif f"{TABLE}{name}" in differing or not compared:  # nobody expected it, or nobody asked
            expected = None
        yield ReportedTable(name=name, rows_expected=expected, rows_found=table.rows, fingerprint=table.fingerprint)
    for named, missing in differing.items():
        if named.startswith(ROWS_OF):
            name, expected = named.removeprefix(ROWS_OF), _count(missing.expected)
            yield ReportedTable(name=name, rows_expected=expected, rows_found=None, fingerprint=None)


def _read(content: bytes, trusted_keys: Collection[str] | None) -> ProofReport:
    return signed_json.read(content, _FORM, trusted_keys)


def _report(row: Verification, backup: BackupLog | None, installation: str) -> ProofReport:
    result = VerificationResult.model_validate(row.result or {})
    return ProofReport.model_validate(
        {
            "installation": installation,
            "product_version": PRODUCT_VERSION,
            "verification": _verification(row),
            "backup": {
                "id": row.backup_id,
                "target": row.target,
                "backup_file": row.backup_file,
                "created_at": row.backup_created_at,
                "manifest": _manifest(backup.manifest) if backup is not None and backup.manifest else None,
            },
            "restore": _restore(result),
            "copies": [copy.model_dump() for copy in result.copies],
            "checks": [check.model_dump(exclude={"acknowledge"}) for check in result.checks],
            "compared": result.compared,
            "tables": [*tables(result)],
            "differences": [difference.model_dump() for difference in result.differences],
            "assertions": [
                {**each.model_dump(exclude={"seconds"}), "milliseconds": _milliseconds(each.seconds)}
                for each in result.assertions
            ],
            "errors": result.errors,
            "lacking": result.lacking,
            "warnings": result.warnings,
        }
    )


def _verification(row: Verification) -> dict[str, object]:
    return {
        "id": row.id,
        "level": row.level,
        "reached": row.reached,
        "status": row.status,
        "requested_by": row.requested_by,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "duration_milliseconds": _milliseconds(duration_of(row)),
        "reason": row.error,
    }


def _restore(result: VerificationResult) -> dict[str, object]:
    return {
        "place": result.place,
        "restored_from": result.restored_from,
        "isolation": result.isolation,
        "milliseconds": _milliseconds(result.restore_seconds),
        "raw_bytes": result.raw_bytes,
        "bytes_per_second": _rounded(result.restore_bytes_per_second),
    }


def _manifest(stored: Mapping[str, Any]) -> dict[str, object] | None:
    """None where the catalogue's is damaged: then nothing is told that it would tell."""
    try:
        manifest = parse_manifest(json.dumps(stored).encode(), None)
    except ManifestInvalid:
        return None
    return {
        "engine": manifest.engine,
        "finished_at": manifest.finished_at,
        "attempt": manifest.attempt,
        "object": manifest.object.model_dump(),
        "recipients": [*manifest.recipients],
        "versions": manifest.versions,
        "signed_by": stored["signature"]["public_key"],
        "signature": stored["signature"]["value"],
    }


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _milliseconds(seconds: float | None) -> int | None:
    return _rounded(seconds * 1000) if seconds is not None else None


def _rounded(number: float | None) -> int | None:
    return max(0, round(number)) if number is not None else None
