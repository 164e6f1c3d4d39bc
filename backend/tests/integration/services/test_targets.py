"""Registered targets and this installation's identity, on each kind of own database."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.config import load_settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, InvalidInput, NotFound
from hhh.services.installation import Identity
from hhh.services.targets import TargetService
from support.local_services import settings_in

URL = "postgresql://reader:s3cret@db.example.com/shop"


@pytest.fixture
def targets(tmp_path: Path, own_database: Database) -> TargetService:
    return TargetService(settings_in(tmp_path), own_database)


def test_the_own_database_is_always_there_and_first(targets: TargetService) -> None:
    targets.add("aaa", URL)
    assert [target.name for target in targets.list()] == ["app", "aaa"]
    assert targets.find("app").created_at is None


def test_a_password_is_kept_sealed_and_shown_to_nobody(targets: TargetService, own_database: Database) -> None:
    added = targets.add("shop", URL)
    found = targets.find("shop")
    assert found.url == added.url
    assert "s3cret" in found.url
    assert "s3cret" not in found.masked_url + repr(found)
    with own_database.snapshot() as session:
        assert "s3cret" not in str(session.execute(text("SELECT * FROM targets")).all())


def test_names_are_taken_once(targets: TargetService) -> None:
    targets.add("shop", URL)
    for taken in ("shop", "app"):
        with pytest.raises(InvalidInput, match="exists already"):
            targets.add(taken, URL)


@pytest.mark.parametrize("name", ["", "Shop", "a b", "../x", "-x", ".x", "x" * 64, "é", "a/b", "a\n", "a\0"])
def test_odd_names_are_refused(targets: TargetService, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name"):
        targets.add(name, URL)
    with pytest.raises(NotFound):
        targets.find(name)


@pytest.mark.parametrize(
    "url", ["", "shop", "mysql://u:s3cret@h/d", "sqlite://", "sqlite:///:memory:", "postgresql://u:s3cret@h:port/d"]
)
def test_urls_that_no_engine_takes_are_refused_without_repeating_them(targets: TargetService, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        targets.add("shop", url)
    assert "s3cret" not in str(refused.value)


def test_with_another_secret_key_the_error_says_so(tmp_path: Path, own_database: Database) -> None:
    TargetService(settings_in(tmp_path, secret_key="one " * 16), own_database).add("shop", URL)
    with pytest.raises(ConfigurationError, match="HHH_SECRET_KEY"):
        TargetService(settings_in(tmp_path, secret_key="two " * 16), own_database).find("shop")


def test_a_target_that_can_not_be_opened_is_listed_with_its_problem_beside_the_others(
    tmp_path: Path, own_database: Database
) -> None:
    TargetService(settings_in(tmp_path, secret_key="one " * 16), own_database).add("closed", URL)
    targets = TargetService(settings_in(tmp_path, secret_key="two " * 16), own_database)
    targets.add("open", URL)
    app, closed, opened = targets.list()
    assert (app.problem, opened.problem) == (None, None)
    assert opened.url == "postgresql://reader:***@db.example.com/shop"
    assert (closed.name, closed.engine, closed.url) == ("closed", "postgresql", None)
    assert "HHH_SECRET_KEY" in str(closed.problem)


def test_all_processes_agree_on_the_installation(tmp_path: Path, own_database: Database) -> None:
    settings = load_settings({"HHH_DATA_DIR": str(tmp_path / "data")}, dotenv=tmp_path / "none.env")
    identities = [Identity(settings, own_database) for _ in range(8)]
    with ThreadPoolExecutor(8) as crowd:
        ids = set(crowd.map(lambda identity: identity.installation, identities))
        keys = set(crowd.map(lambda identity: identity.signing_key.public_key, identities))
    assert (len(ids), len(keys)) == (1, 1)


def test_a_target_that_can_not_be_opened_any_more_is_replaced_by_adding_it_again(
    tmp_path: Path, own_database: Database
) -> None:
    TargetService(settings_in(tmp_path, secret_key="one " * 16), own_database).add("shop", URL)
    targets = TargetService(settings_in(tmp_path, secret_key="two " * 16), own_database)

    targets.add("shop", "sqlite:////srv/shop.db")

    assert targets.find("shop").url == "sqlite:////srv/shop.db"
    assert [(target.name, target.engine, target.problem) for target in targets.list()][1:] == [("shop", "sqlite", None)]
    with pytest.raises(InvalidInput, match="exists already"):
        targets.add("shop", URL)
