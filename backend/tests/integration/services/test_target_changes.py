"""Targets that are changed, tried and removed, and their policies, on each kind of own database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import event, insert

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress, InvalidInput, NotFound
from hhh.models import Job, JobKind, JobState, Policy, Schedule, Target
from hhh.schemas.policy import PolicyFields
from hhh.schemas.retention import Retention
from hhh.services.container import Services, assemble
from hhh.services.policies import TargetPolicy
from hhh.services.sealing import Sealing, target_owner
from support.local_services import services_with_a_target, settings_in
from support.postgres import PostgresServer
from support.stored_rows import stored_backup_row

URL = "postgresql://reader:s3cret@db.example.com/shop?sslmode=require"
NOTHING = PolicyFields()


@pytest.fixture
def services(tmp_path: Path, sqlite_database: Database) -> Services:
    return with_shop(tmp_path, sqlite_database)


@pytest.fixture
def services_on_each(tmp_path: Path, own_database: Database) -> Services:
    return with_shop(tmp_path, own_database)


def with_shop(folder: Path, database: Database) -> Services:
    services = assemble(settings_in(folder), database)
    services.targets.add("shop", URL)
    return services


def changed(services: Services, url: str) -> str:
    services.targets.update("shop", url, NOTHING, whole=False)
    return services.targets.find("shop").url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader@db.example.com/shop?sslmode=require",
        "postgresql://reader@db.example.com:5432/other?sslmode=require&application_name=x",
        "postgresql://reader:***@db.example.com/shop?sslmode=require",
    ],
)
def test_a_password_that_is_left_out_is_kept_for_the_same_user_and_server(services: Services, url: str) -> None:
    assert ":s3cret@" in changed(services, url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader@evil.example.com/shop?sslmode=require",
        "postgresql://reader:***@evil.example.com/shop?sslmode=require",
        "postgresql://reader@db.example.com:6432/shop?sslmode=require",
        "postgresql://reader@db.example.com/shop?sslmode=require&hostaddr=10.6.6.6",
        "postgresql://root@db.example.com/shop?sslmode=require",
        "postgresql://reader@db.example.com/shop?sslmode=disable",
        "postgresql://reader@db.example.com/shop",
    ],
)
def test_a_password_is_never_sent_to_whom_it_was_not_given_for(services: Services, url: str) -> None:
    with pytest.raises(InvalidInput, match="password is missing"):
        changed(services, url)
    assert services.targets.find("shop").url == URL


def test_a_new_password_or_none_may_be_given_with_any_url(services: Services) -> None:
    assert changed(services, "postgresql://root:n3w@other/db") == "postgresql://root:n3w@other/db"
    assert changed(services, "postgresql://root:@third/db") == "postgresql://root@third/db"
    assert changed(services, "postgresql://root@fourth/db") == "postgresql://root@fourth/db"
    with pytest.raises(InvalidInput, match="password is missing"):
        changed(services, "postgresql://root:***@fifth/db")
    assert changed(services, "sqlite:////srv/shop.db") == "sqlite:////srv/shop.db"
    assert services.targets.get("shop").engine == "sqlite"


def test_a_lost_password_can_not_be_kept(tmp_path: Path, services: Services) -> None:
    rekeyed = assemble(settings_in(tmp_path, secret_key="another " * 8), services.database)
    with pytest.raises(InvalidInput, match="password is missing"):
        changed(rekeyed, "postgresql://reader@db.example.com/shop?sslmode=require")
    rekeyed.targets.update("shop", None, PolicyFields(retries=5), whole=False)
    assert rekeyed.policies.of("shop").retries == 5
    assert changed(rekeyed, URL) == URL


def test_an_update_of_parts_leaves_the_rest_and_one_of_the_whole_does_not(
    services_on_each: Services, tmp_path: Path
) -> None:
    services_on_each.stores.add("other", f"file://{tmp_path}/other")
    first = PolicyFields(storages=["default", "other"], minimum_copies=1, retention=Retention(keep_last=3))
    services_on_each.targets.update("shop", None, first, whole=False)
    services_on_each.targets.update("shop", None, PolicyFields(retries=7), whole=False)
    assert services_on_each.policies.of("shop") == TargetPolicy(
        ("default", "other"), 1, 7, None, Retention(keep_last=3)
    )

    services_on_each.targets.update("shop", None, PolicyFields(time_limit_seconds=60), whole=True)
    assert services_on_each.policies.of("shop") == TargetPolicy(time_limit_seconds=60)
    assert services_on_each.targets.find("shop").url == URL


@pytest.mark.parametrize(
    "policy",
    [
        PolicyFields(storages=["nowhere"]),
        PolicyFields(storages=["\0", "\ud800", "x" * 100]),
        PolicyFields(storages=["default", "default"]),
        PolicyFields(minimum_copies=2),
    ],
)
def test_a_policy_that_can_not_be_kept_is_refused_with_all_that_came_with_it(
    services_on_each: Services, policy: PolicyFields
) -> None:
    with pytest.raises(InvalidInput):
        services_on_each.targets.update("shop", "postgresql://a:b@c/d", policy, whole=False)
    with pytest.raises(InvalidInput):
        services_on_each.targets.add("new", URL, policy)
    assert services_on_each.targets.find("shop").url == URL
    assert services_on_each.targets.names() == ["app", "shop"]


def test_fewer_stores_than_copies_that_must_be_are_refused(services: Services, tmp_path: Path) -> None:
    services.stores.add("other", f"file://{tmp_path}/other")
    both = PolicyFields(storages=["default", "other"], minimum_copies=2)
    services.targets.update("shop", None, both, whole=False)
    with pytest.raises(InvalidInput, match="2 copies"):
        services.targets.update("shop", None, PolicyFields(storages=["other"]), whole=False)


def test_of_app_only_the_policy_is_changed(services: Services) -> None:
    services.targets.update("app", None, PolicyFields(retention=Retention(daily=7)), whole=False)
    assert services.policies.of("app").retention == Retention(daily=7)
    with pytest.raises(InvalidInput, match="HHH_DATABASE_URL"):
        services.targets.update("app", "sqlite:////x.db", NOTHING, whole=False)
    with pytest.raises(InvalidInput, match="always there"):
        services.targets.remove("app")


def test_updates_at_once_do_not_take_back_each_others(services_on_each: Services) -> None:
    changes = [PolicyFields(retries=5), PolicyFields(time_limit_seconds=60), PolicyFields(retention=Retention(daily=7))]
    turns = [(name, each) for each in changes * 2 for name in ("app", "shop")]
    with ThreadPoolExecutor(6) as crowd:
        list(crowd.map(lambda turn: services_on_each.targets.update(turn[0], None, turn[1], whole=False), turns))
    for name in ("app", "shop"):
        assert services_on_each.policies.of(name) == TargetPolicy((), None, 5, 60, Retention(daily=7))


def test_a_target_goes_with_its_schedules_and_without_its_backups(services_on_each: Services) -> None:
    services_on_each.targets.update("shop", None, PolicyFields(retention=Retention(keep_last=3)), whole=False)
    backup_id = stored_backup_row(services_on_each.database, target="shop")
    now = utcnow()
    with services_on_each.database.transaction() as session:
        for number, target in enumerate(("shop", "app")):
            session.add(
                Schedule(
                    id=str(number), target=target, cron="0 3 * * *", time_zone="UTC", jitter_seconds=0, paused=False,
                    created_at=now, updated_at=now,
                )
            )  # fmt: skip

    removed = services_on_each.targets.remove("shop")

    assert (removed.backups_kept, removed.policy_kept) == (1, True)
    assert [each.cron for each in removed.schedules_removed] == ["0 3 * * *"]
    assert services_on_each.catalogue.get(backup_id).target == "shop"
    assert services_on_each.policies.of("shop").retention == Retention(keep_last=3)
    with services_on_each.database.snapshot() as session:
        assert [each.target for each in session.query(Schedule)] == ["app"]
    for asked in (
        services_on_each.targets.find,
        services_on_each.targets.get,
        services_on_each.targets.remove,
        services_on_each.targets.test,
    ):
        with pytest.raises(NotFound):
            asked("shop")
    services_on_each.targets.add("shop", URL)
    assert services_on_each.policies.of("shop").retention == Retention(keep_last=3)


def test_the_policy_of_a_target_without_backups_goes_with_it(services_on_each: Services) -> None:
    services_on_each.targets.update("shop", None, PolicyFields(retries=9), whole=False)
    assert not services_on_each.targets.remove("shop").policy_kept
    with services_on_each.database.snapshot() as session:
        assert session.query(Policy).count() == 0


@pytest.mark.parametrize("kind", [JobKind.BACKUP, JobKind.RESTORE, JobKind.PRUNE, JobKind.REPAIR])
def test_a_target_with_a_job_stays(services: Services, kind: JobKind) -> None:
    now = utcnow()
    job = Job(id="job", kind=kind, target="shop", state=JobState.QUEUED, worker="", created_at=now)
    job.lease_expires_at = now + timedelta(hours=1)
    with services.database.transaction() as session:
        session.add(job)
    with pytest.raises(BackupInProgress, match=kind.value):
        services.targets.remove("shop")
    assert services.targets.find("shop").url == URL


def test_a_target_is_tried_and_what_fails_is_told(
    tmp_path: Path, sqlite_database: Database, any_postgres: PostgresServer
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database, pg_bin_dir=any_postgres.bin_dir)
    services.targets.add("server", any_postgres.url("postgres"))
    services.targets.add("wrong", any_postgres.url("no-such-database"))

    source, server, wrong = (services.targets.test(name) for name in ("source", "server", "wrong"))

    assert (source.ok, source.description) == (True, "SQLite, 3 tables")
    assert server.ok
    assert str(server.description).startswith("PostgreSQL 1")
    assert (wrong.ok, wrong.description) == (False, None)
    assert "no-such-database" in str(wrong.error)


def test_the_jobs_database_is_no_target(tmp_path: Path, sqlite_database: Database) -> None:
    jobs = "postgresql://hhh:s3cret@jobs.example.com/jobs"
    settings = settings_in(tmp_path).model_copy(update={"jobs_database_url": SecretStr(jobs)})
    services = assemble(settings, sqlite_database)
    services.targets.add("shop", URL)
    for refused in (
        lambda: services.targets.add("jobs", "postgresql://other:x@JOBS.example.com:5432/jobs"),
        lambda: changed(services, jobs),
    ):
        with pytest.raises(InvalidInput, match="HHH_JOBS_DATABASE_URL"):
            refused()


def test_ten_thousand_targets_are_listed_with_few_statements(tmp_path: Path, own_database: Database) -> None:
    services = assemble(settings_in(tmp_path), own_database)
    sealing, now = Sealing(services.settings), utcnow()
    names = [f"t{number:05}" for number in range(10_000)]
    with own_database.transaction() as session:
        sealed = [
            {"id": name, "name": name, "engine": "postgresql", "created_at": now, "updated_at": now,
             "sealed_url": sealing.seal(session, URL, owner=target_owner(name)) if number < 100 else "lost"}
            for number, name in enumerate(names)
        ]  # fmt: skip
        session.execute(insert(Target), sealed)
        session.execute(
            insert(Policy), [{"target": name, "stores": [], "retries": 1, "updated_at": now} for name in names]
        )
    statements: list[str] = []
    event.listen(own_database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    listed, policies = services.targets.list(), services.policies.set_policies()

    assert (len(listed), len(policies)) == (10_001, 10_001)
    assert sum(target.problem is None for target in listed) == 101
    assert len([each for each in statements if each.startswith("SELECT") and "FROM" in each]) <= 3
