"""Backups that rules drop or people delete go from the catalogue and from every store, on each kind of database."""

from pathlib import Path

import pytest

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.jobs.worker import working
from hhh.models import JobState, Policy
from hhh.schemas.retention import Retention
from hhh.services.container import Services
from support.backing_up import files_below
from support.local_services import services_with_a_target

SOURCE = "source"


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


def take(services: Services, target: str = SOURCE) -> str:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(target))
        worker.execute(backup_id)
    assert services.catalogue.get(backup_id).status == "success"
    return backup_id


def keep(services: Services, rules: Retention, target: str = SOURCE) -> None:
    with services.database.transaction() as session:
        session.merge(
            Policy(
                target=target, stores=[], retries=0, retention=rules.model_dump(exclude_none=True), updated_at=utcnow()
            )
        )


def prune(services: Services, target: str = SOURCE) -> None:
    with working(services) as worker:
        job_id = worker.create(services.pruning.request(target))
        worker.execute(job_id)
    assert services.pruning.outcome(job_id) == (JobState.SUCCESS, None)


def stored(services: Services) -> list[str]:
    return files_below(services.settings.data_dir / "backups")


def test_what_the_rules_drop_is_gone_from_catalogue_totals_and_store(services: Services) -> None:
    backup_ids = [take(services) for _ in range(3)]
    keep(services, Retention(keep_last=1))
    prune(services)
    kept = services.catalogue.get(backup_ids[2])
    assert all(name.split("/")[-1].startswith(kept.backup_file) for name in stored(services))
    assert len(stored(services)) == 3
    stats = services.catalogue.stats()
    assert (stats.total_backups, stats.successful_backups, stats.total_backup_size) == (1, 1, kept.stored_size)
