"""Which databases are the jobs database, and which may be."""

from pathlib import Path

import pytest

from hhh.core.config import Settings, load_settings
from hhh.core.errors import ConfigurationError, InvalidInput
from hhh.services import jobs_database

JOBS = "postgresql://hhh:s3cr3t@db.example:5432/jobs"


def settings(folder: Path, jobs: str) -> Settings:
    environment = {
        "HHH_DATA_DIR": str(folder / "data"),
        "HHH_DATABASE_URL": "postgresql://hhh@db.example/hhh",
        "HHH_JOBS_DATABASE_URL": jobs,
    }
    return load_settings(environment, dotenv=folder / "none.env")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://other:word@db.example/jobs",
        "postgres://DB.example:5432/jobs?sslmode=require",
        "postgresql+psycopg://db.example/jobs",
    ],
)
def test_a_database_is_known_by_where_it_is_not_by_who_signs_in(url: str) -> None:
    assert jobs_database.is_same(JOBS, url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example/hhh",
        "postgresql://db.example:5433/jobs",
        "postgresql://elsewhere.example/jobs",
        "sqlite:////var/lib/jobs",
        "nonsense",
    ],
)
def test_another_name_port_host_or_kind_is_another_database(url: str) -> None:
    assert not jobs_database.is_same(JOBS, url)


def test_all_ways_to_this_machine_are_one() -> None:
    ways = ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"]
    urls = [f"postgresql://{host}/jobs" for host in ways] + ["postgresql:///jobs?host=/run/postgresql"]
    assert all(jobs_database.is_same(urls[0], url) for url in urls)


def test_the_jobs_database_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="HHH_JOBS_DATABASE_URL") as refused:
        jobs_database.refuse_as_target(settings(tmp_path, JOBS), "postgresql://db.example/jobs")
    assert "s3cr3t" not in str(refused.value)
    jobs_database.refuse_as_target(settings(tmp_path, JOBS), "postgresql://db.example/shop")
    jobs_database.refuse_as_target(settings(tmp_path, ""), "postgresql://db.example/jobs")


def test_the_own_database_and_those_of_targets_are_no_jobs_database(tmp_path: Path) -> None:
    loaded = settings(tmp_path, JOBS)
    jobs_database.refuse_wrong(loaded, {"app": "postgresql://db.example/hhh", "shop": "sqlite:////srv/shop.db"})
    for name in ("app", "shop"):
        with pytest.raises(ConfigurationError, match=f"target '{name}'"):
            jobs_database.refuse_wrong(loaded, {name: "postgresql://db.example/jobs"})


def test_a_url_that_names_no_database_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="HHH_JOBS_DATABASE_URL") as refused:
        jobs_database.refuse_wrong(settings(tmp_path, "postgresql://hhh:s3cr3t@db.example"), {})
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(("own", "jobs"), [("", JOBS), ("postgresql://db.example/hhh", "sqlite:////srv/jobs.db")])
def test_many_machines_need_postgresql_for_both(tmp_path: Path, own: str, jobs: str) -> None:
    environment = {"HHH_DATA_DIR": str(tmp_path), "HHH_DATABASE_URL": own, "HHH_JOBS_DATABASE_URL": jobs}
    with pytest.raises(ConfigurationError, match="HHH_JOBS_DATABASE_URL is"):
        load_settings(environment, dotenv=tmp_path / "none.env")
