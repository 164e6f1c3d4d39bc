"""Reports of verifications, from their records and the catalogue, on both databases."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NotFound, ReportInvalid
from hhh.models import BackupLog, Verification, VerificationStatus
from hhh.schemas.facts import TableFacts
from hhh.schemas.proof_report import ProofReport, ReportedTable
from hhh.services import proof_report
from hhh.services.comparison import compare
from hhh.services.container import Services
from hhh.services.trust import trusted_keys
from support.local_services import services_with_a_target
from support.recoverable import a_verification
from support.stored_backups import FACTS
from support.sweeping import take

FAILED, INCONCLUSIVE, CANCELLED = (
    VerificationStatus.FAILED,
    VerificationStatus.INCONCLUSIVE,
    VerificationStatus.CANCELLED,
)


@pytest.fixture
def services(own_database: Database, tmp_path: Path) -> Services:
    return services_with_a_target(tmp_path, own_database)


def tables(*rows: tuple[str, int]) -> list[TableFacts]:
    return [TableFacts(schema_name="", name=name, rows=count) for name, count in rows]


def result(expected: list[TableFacts], found: list[TableFacts]) -> dict[str, Any]:
    """As a drill records it."""
    differences = compare(FACTS.model_copy(update={"tables": expected}), FACTS.model_copy(update={"tables": found}))
    return {
        "reached": "readable" if differences else "proven",
        "tables": [table.model_dump() for table in found],
        "differences": [each.model_dump() for each in differences],
        "compared": [f"{len(expected)} tables"],
        "copies": [{"storage": "default", "status": "good", "size": 12, "problem": None}],
        "place": "SQLite 3.54.0, a file",
        "restored_from": "default",
        "restore_seconds": 0.125,
        "restore_bytes_per_second": 1234.6,
        "raw_bytes": 154,
        "assertions": [{"sql": "SELECT 1", "holds": True, "found": "1", "seconds": 0.0015}],
    }


def read(services: Services, verification_id: str) -> ProofReport:
    content = services.proof_reports.issue(verification_id)
    keys = trusted_keys(services.settings, services.identity)
    assert proof_report.check(proof_report.page(content), keys) == proof_report.check(content, keys)
    return proof_report.check(content, keys)


def test_a_report_names_the_backup_its_object_and_who_signed_them(services: Services) -> None:
    backup = services.catalogue.get(take(services))
    rows = tables(("a", 3), ("b", 0))
    verification_id = a_verification(services.database, backup.id, result=result(rows, rows))

    found = read(services, verification_id)

    assert (found.installation, found.verification.id) == (services.identity.installation, verification_id)
    assert (found.verification.level, found.verification.reached, found.verification.status) == (
        "proven",
        "proven",
        "success",
    )
    assert (found.backup.id, found.backup.target, found.backup.backup_file) == (
        backup.id,
        "source",
        backup.backup_file,
    )
    assert found.backup.manifest
    assert backup.manifest
    assert found.backup.manifest.object.model_dump() == backup.manifest["object"]
    assert found.backup.manifest.object.sha256 == backup.sha256
    assert found.backup.manifest.signed_by == services.identity.signing_key.public_key
    assert found.backup.manifest.signature == backup.manifest["signature"]["value"]
    assert (found.restore.milliseconds, found.restore.bytes_per_second, found.restore.raw_bytes) == (125, 1235, 154)
    assert found.assertions[0].milliseconds == 2


def test_the_same_verification_gives_the_same_report(services: Services) -> None:
    verification_id = a_verification(services.database, take(services))
    assert services.proof_reports.issue(verification_id) == services.proof_reports.issue(verification_id)


def test_each_table_is_told_with_the_rows_that_were_expected_and_found(services: Services) -> None:
    expected, there = tables(("same", 3), ("less", 5), ("lost", 7)), tables(("same", 3), ("less", 4), ("new", 1))
    verification_id = a_verification(
        services.database, take(services), status=FAILED, error="rows of less", result=result(expected, there)
    )
    found = read(services, verification_id)
    assert found.verification.reason == "rows of less"
    assert found.tables == [
        ReportedTable(name=name, rows_expected=before, rows_found=after, fingerprint=None)
        for name, before, after in (("same", 3, 3), ("less", 5, 4), ("new", None, 1), ("lost", 7, None))
    ]


def test_rows_that_nobody_compared_are_not_told_as_expected(services: Services) -> None:
    rows = result([], tables(("a", 3))) | {"differences": [], "compared": []}
    found = read(services, a_verification(services.database, take(services), status=INCONCLUSIVE, result=rows))
    assert [(each.rows_expected, each.rows_found) for each in found.tables] == [(None, 3)]


def test_what_failed_or_was_inconclusive_has_a_report_that_says_so(services: Services) -> None:
    backup_id = take(services)
    for status, title in ((FAILED, "VERIFICATION FAILED"), (INCONCLUSIVE, "INCONCLUSIVE: NOTHING IS PROVEN")):
        verification_id = a_verification(services.database, backup_id, status=status, error="why")
        page = proof_report.page(services.proof_reports.issue(verification_id)).decode()
        assert f"<h1>{title}</h1>" in page
        assert read(services, verification_id).verification.status == status


def test_a_report_outlives_its_backup_without_what_its_manifest_told(services: Services) -> None:
    backup_id = take(services)
    verification_id = a_verification(services.database, backup_id)
    with services.database.transaction() as session:
        session.execute(update(BackupLog).where(BackupLog.id == backup_id).values(deleted_at=utcnow()))
    found = read(services, verification_id)
    assert (found.backup.id, found.backup.manifest) == (backup_id, None)


def test_a_manifest_that_was_changed_in_the_catalogue_is_not_repeated(services: Services) -> None:
    backup_id = take(services)
    verification_id = a_verification(services.database, backup_id)
    with services.database.transaction() as session:
        row = session.get_one(BackupLog, backup_id)
        row.manifest = {**(row.manifest or {}), "target": "other"}
    assert read(services, verification_id).backup.manifest is None


def test_what_has_not_ended_was_cancelled_or_is_unknown_has_no_report(services: Services) -> None:
    verification_id = a_verification(services.database, take(services), status=CANCELLED)
    with pytest.raises(InvalidInput, match="cancelled: there is nothing to report"):
        services.proof_reports.issue(verification_id)
    with services.database.transaction() as session:
        session.execute(update(Verification).values(status=VerificationStatus.RUNNING, finished_at=None))
    with pytest.raises(InvalidInput, match="running"):
        services.proof_reports.issue(verification_id)
    for unknown in ("5f1f2f0e-0000-4000-8000-000000000000", "nul\0"):
        with pytest.raises(NotFound):
            services.proof_reports.issue(unknown)


def test_another_installation_does_not_take_it_for_its_own(services: Services, tmp_path: Path) -> None:
    content = services.proof_reports.issue(a_verification(services.database, take(services)))
    with pytest.raises(ReportInvalid, match="not trusted"):
        proof_report.check(content, {"A" * 43 + "="})
    assert json.loads(content)["signature"]["public_key"] == services.identity.signing_key.public_key
