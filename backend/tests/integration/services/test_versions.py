"""All processes of an installation are of one version: the older is refused, and told what to do."""

from datetime import timedelta

import pytest
from alembic import command
from pydantic import SecretStr

from hhh import migrations
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from hhh.core.version import PRODUCT_VERSION
from hhh.models import WorkerRow
from hhh.repositories import installation as rows
from hhh.services import versions
from hhh.services.versions import bring_to_this_version, join, series

#: They only have to be set.
MANY = Settings(database_url=SecretStr("postgresql://db/hhh"), jobs_database_url=SecretStr("postgresql://db/jobs"))
ALONE = Settings()
MAJOR, MINOR = series(PRODUCT_VERSION)


def of_version(database: Database, version: str) -> None:
    with database.transaction() as session:
        versions.record(session)
        rows.get(session).program_version = version


def version_of(database: Database) -> str | None:
    with database.snapshot() as session:
        return rows.program_version(session)


def at_work(database: Database, version: str, *, seconds_ago: int = 1, name: str = "night") -> None:
    now = utcnow()
    row = WorkerRow(id=name, name=name, host="db7", pid=1, version=version, state="active", slots=1, queues="backup")
    row.started_at, row.heartbeat_at = now, now - timedelta(seconds=seconds_ago)
    with database.transaction() as session:
        session.add(row)


def test_what_a_recovery_has_not_filled_to_its_end_is_used_by_nobody(own_database: Database) -> None:
    migrations.begin_filling(own_database)
    migrations.upgrade(own_database)

    with pytest.raises(ConfigurationError, match="not restored to its end"):
        bring_to_this_version(ALONE, own_database)

    migrations.end_filling(own_database)
    assert not bring_to_this_version(ALONE, own_database)


@pytest.mark.parametrize("before", [None, "0.0.9", PRODUCT_VERSION, f"{MAJOR}.{MINOR}.999"])
def test_a_program_of_the_same_series_or_a_newer_one_joins(own_database: Database, before: str | None) -> None:
    if before is not None:
        of_version(own_database, before)

    join(MANY, own_database)

    assert version_of(own_database) == PRODUCT_VERSION


def test_an_older_program_is_refused_and_told_both_versions_and_where_the_newer_one_runs(
    own_database: Database,
) -> None:
    newer = f"{MAJOR}.{MINOR + 1}.0"
    of_version(own_database, newer)
    at_work(own_database, newer)

    with pytest.raises(ConfigurationError) as refused:
        join(ALONE, own_database)

    assert (
        refused.value.message
        == f"This is HHH Backup {PRODUCT_VERSION}, and the installation is of {newer}, which runs on db7"
    )
    assert f"install {newer} here" in str(refused.value.hint)
    assert version_of(own_database) == newer


def test_an_upgrade_is_refused_while_workers_of_the_older_version_are_at_work(own_database: Database) -> None:
    of_version(own_database, "0.0.9")
    at_work(own_database, "0.0.9")

    with pytest.raises(ConfigurationError, match=r"older version are at work: night on db7 \(0.0.9\)"):
        join(MANY, own_database)

    assert version_of(own_database) == "0.0.9"


def test_what_gives_no_sign_of_life_and_what_runs_on_one_machine_is_in_nobodys_way(own_database: Database) -> None:
    of_version(own_database, "0.0.9")
    at_work(own_database, "0.0.9", seconds_ago=40)
    join(MANY, own_database)

    of_version(own_database, "0.0.9")
    at_work(own_database, "0.0.9", name="serve")
    join(ALONE, own_database)

    assert version_of(own_database) == PRODUCT_VERSION


def test_it_is_refused_before_anything_is_migrated(own_database: Database) -> None:
    command.downgrade(migrations.alembic_config(own_database), "0006")
    at_work(own_database, "0.0.9")

    with pytest.raises(ConfigurationError, match="older version"):
        bring_to_this_version(MANY, own_database)

    assert migrations.pending(own_database)
    assert bring_to_this_version(ALONE, own_database)
    assert version_of(own_database) == PRODUCT_VERSION
