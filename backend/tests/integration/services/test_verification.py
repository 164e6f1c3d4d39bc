"""Verifications: what they find, what is known afterwards, and what is done about it."""

from pathlib import Path

import pytest

from hhh.core.database import Database
from hhh.jobs.worker import working
from hhh.schemas.verification import Level, VerificationResource
from hhh.services.container import Services
from support.local_services import services_with_a_target


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


def back_up(services: Services) -> str:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request("source"))
        worker.execute(backup_id)
    return backup_id


def verify(services: Services, backup_id: str, level: Level = "stored") -> VerificationResource:
    with working(services) as worker:
        verification_id = worker.create(services.verifications.request(backup_id, level, requested_by="cli"))
        worker.execute(verification_id)
    return services.verifications.get(verification_id)


def test_a_good_backup_is_told_as_stored(services: Services) -> None:
    backup_id = back_up(services)

    found = verify(services, backup_id)

    assert (found.status, found.reached, found.error, found.error_code) == ("success", "stored", None, None)
    assert [(copy.storage, copy.status) for copy in found.copies] == [("default", "good")]
    known = services.catalogue.get(backup_id).verified
    assert known is not None
    assert (known.level, known.at) == ("stored", found.finished_at)
