"""Ends of the audit log that backups of the own database note: a tail that is cut off shows by them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.database import Database
from hhh.jobs.worker import working
from hhh.models import Action
from hhh.repositories.audit import Head
from hhh.schemas.audit import AuditEndVerdict
from hhh.services import audit
from hhh.services.audit_chain import parse_head
from hhh.services.audit_noted import noted_everywhere
from hhh.services.container import Services
from hhh.services.doctor_audit import audit_log
from support.audit_owner import cut
from support.local_services import services_with_a_target


@pytest.fixture
def services(tmp_path: Path, sqlite_database: Database) -> Services:
    """With a log of some events, and a backup of the own database that was taken then."""
    services = services_with_a_target(tmp_path, sqlite_database)
    for number in range(5):
        audit.record_alone(sqlite_database, Action.VERIFY, f"{number}")
    with working(services) as worker:
        worker.execute(worker.create(services.backups.request("app")))
    return services


def compared(services: Services) -> Sequence[AuditEndVerdict]:
    return [
        each for each in noted_everywhere(services.noted_ends, services.stores.all()) if not isinstance(each, Exception)
    ]


def test_a_backup_of_the_own_database_notes_where_the_log_ended_as_it_began(services: Services) -> None:
    in_catalogue, in_store = compared(services)

    (manifest,) = services.settings.data_dir.rglob("*.sql.json")
    noted = json.loads(manifest.read_text())["versions"]["audit"]
    assert {in_catalogue.head, in_store.head} == {noted}
    assert in_catalogue.ok
    assert in_store.ok
    assert 5 < parse_head(noted).seq < services.audit_log.head().seq  # and its own end came later


def test_a_tail_that_was_cut_off_is_told_by_them_though_the_log_is_whole(services: Services) -> None:
    cut(services.database, after=3)
    assert services.audit_log.verify().ok

    told = compared(services)

    assert [each.ok for each in told] == [False, False]
    assert all("is missing, where the log ended at" in (each.said or "") for each in told)
    assert [finding.ok for finding in audit_log(services, down=())] == [False, False]


def test_the_store_tells_it_where_the_catalogue_was_cleaned_as_well(services: Services) -> None:
    cut(services.database, after=3)
    with services.database.transaction() as session:
        session.execute(text("DELETE FROM backup_copies"))
        session.execute(text("DELETE FROM backup_log"))

    (told,) = compared(services)

    assert not told.ok
    assert "in the store default" in told.by


def test_a_log_that_went_on_from_an_older_state_is_told(services: Services) -> None:
    cut(services.database, after=3)
    for number in range(9):
        audit.record_alone(services.database, Action.VERIFY, f"anew-{number}")
    assert services.audit_log.verify().ok

    assert {"is another now" in (each.said or "") for each in compared(services)} == {True}


def test_what_a_restore_of_the_own_database_lost_is_told_and_no_trouble(services: Services) -> None:
    cut(services.database, after=3)
    audit.record_alone(services.database, Action.RESTORE, "app", target="app", detail={"recovered": True})

    told = compared(services)

    assert [each.ok for each in told] == [True, True]
    assert all("see event 4" in (each.said or "") for each in told)


def test_nobody_is_told_of_an_end_that_another_key_signed(services: Services) -> None:
    services.settings.signing_key_path.unlink()
    services.identity.__dict__.pop("_own_key", None)
    services.identity.__dict__.pop("signing_key", None)

    assert compared(services) == []


def test_an_empty_log_has_an_end_too() -> None:
    assert parse_head("0:") == Head(0, "")
