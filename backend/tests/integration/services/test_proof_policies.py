"""What targets demand of their backups: kept, changed in parts, and what of it makes a backup be verified."""

from pathlib import Path

import pytest

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import InUse, InvalidInput
from hhh.core.run import Unattended
from hhh.models import BackupLog, BackupStatus
from hhh.schemas.policy import PolicyFields, ProofFields
from hhh.schemas.verification import Level
from hhh.services import catalogue, rebuild
from hhh.services.catalogue import Outcome
from hhh.services.container import Services
from hhh.services.policies import TargetPolicy
from hhh.services.trust import trusted_keys
from support.local_services import services_with_a_target
from support.stored_rows import stored_backup_row
from support.sweeping import SOURCE, take

POSTGRES = "postgresql://reader:s3cret@db.example.com/shop"


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    services = services_with_a_target(tmp_path, own_database)
    services.targets.add("shop", POSTGRES)
    services.targets.add("spare", POSTGRES)
    return services


def demand(services: Services, target: str = SOURCE, /, **demands: object) -> None:
    services.targets.update(target, None, PolicyFields.model_validate(demands), whole=False)


def verify_due(services: Services, backup_id: str) -> str | None:
    with services.database.snapshot() as session:
        row = session.get(BackupLog, backup_id)
    assert row is not None
    return row.verify_due


# ------------------------------------------------------------------------------------------------------ the policy


@pytest.mark.parametrize("target", ["app", "shop"])
def test_an_update_of_parts_leaves_the_other_demands_and_one_of_the_whole_does_not(
    services: Services, target: str
) -> None:
    demand(services, target, verify_after_backup="proven", assertions=["SELECT true"], retries=7)
    demand(services, target, fingerprint="sampled", proven_within_days=7)
    demand(services, target, backed_up_within_hours=26, verify_after_backup=None)
    assert services.policies.of(target) == TargetPolicy(
        retries=7,
        proof=ProofFields(
            fingerprint="sampled", assertions=["SELECT true"], proven_within_days=7, backed_up_within_hours=26
        ),
    )
    services.targets.update(target, None, PolicyFields(fingerprint="full"), whole=True)
    assert services.policies.of(target) == TargetPolicy(proof=ProofFields(fingerprint="full"))


def test_drills_use_the_server_of_a_registered_postgresql_target_alone(services: Services) -> None:
    for name in ("shop", "source", "app"):
        demand(services, name, drill_target="shop")
        assert services.policies.of(name).proof.drill_target == "shop"
    for unknown in ("none", "app", "", "\0"):
        with pytest.raises(InvalidInput, match="no registered target"):
            demand(services, drill_target=unknown)
    with pytest.raises(InvalidInput, match="a target of sqlite"):
        demand(services, drill_target="source")
    assert services.policies.of(SOURCE).proof.drill_target == "shop"
    demand(services, drill_target=None)
    assert services.policies.of(SOURCE).proof.drill_target is None


def test_a_target_whose_server_drills_of_others_use_is_neither_removed_nor_made_another_engine(
    services: Services,
) -> None:
    for name in ("app", "source", "spare"):
        demand(services, name, drill_target="spare")
    with pytest.raises(InUse, match=r"'spare': app, source \(change that first"):
        services.targets.remove("spare")
    with pytest.raises(InUse, match="'spare': app, source"):
        services.targets.update("spare", "sqlite:////srv/x.db", PolicyFields(), whole=False)
    services.targets.update("spare", "postgresql://other:x@db2.example.com/spare", PolicyFields(), whole=False)
    for name in ("app", "source"):
        demand(services, name, drill_target=None)
    assert services.targets.remove("spare").name == "spare"


def test_what_was_removed_itself_keeps_no_drill_server_from_going(services: Services) -> None:
    """Its policy stays for its backups, and nobody could change it."""
    demand(services, "shop", drill_target="spare")
    stored_backup_row(services.database, target="shop")
    assert services.targets.remove("shop").policy_kept
    services.targets.remove("spare")
    services.targets.add("shop", POSTGRES)
    demand(services, "shop", retries=3)
    with pytest.raises(InvalidInput, match="no registered target"):
        demand(services, "shop", drill_target="spare")


# ---------------------------------------------------------------------------------------- verified once it is stored


@pytest.mark.parametrize("level", ["stored", "readable", "proven", None])
def test_a_backup_is_to_be_verified_as_its_target_says_from_the_moment_that_it_counts(
    services: Services, level: Level | None
) -> None:
    demand(services, verify_after_backup=level)
    demand(services, "shop", verify_after_backup="stored")
    assert verify_due(services, take(services)) == level


@pytest.mark.parametrize("status", [BackupStatus.FAILED, BackupStatus.CANCELLED])
def test_what_holds_nothing_is_not_to_be_verified(services: Services, status: BackupStatus) -> None:
    demand(services, verify_after_backup="readable")
    backup_id, now = "0" * 36, utcnow()
    with services.database.transaction() as session:
        catalogue.begin(session, backup_id, target=SOURCE, created_at=now)
    with services.database.transaction() as session:
        catalogue.finish(session, backup_id, Outcome(status, now))
    assert verify_due(services, backup_id) is None


def test_an_import_is_verified_like_any_backup_and_what_a_rebuild_finds_is_not(
    services: Services, tmp_path: Path
) -> None:
    demand(services, verify_after_backup="proven")
    imported = services.imports.take_in(tmp_path / "source.db", SOURCE, Unattended())
    assert verify_due(services, imported) == "proven"
    with services.database.transaction() as session:
        session.delete(session.get_one(BackupLog, imported))
    rebuild_all(services)
    assert verify_due(services, imported) is None


def rebuild_all(services: Services) -> None:
    rebuild.rebuild(
        services.database,
        services.identity,
        services.stores.find("default"),
        trusted_keys=trusted_keys(services.settings, services.identity),
    )
