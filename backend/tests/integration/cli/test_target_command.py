"""`hhh target`, where no server runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hhh.cli import target as command
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.schemas.policy import ProofFields
from hhh.services.container import Services
from hhh.services.targets import TargetService
from support.local_services import services_with_a_target, settings_in

Run = Callable[..., str]


@pytest.fixture
def shop(sqlite_database: Database, tmp_path: Path) -> Services:
    """Of an installation that knows `shop`, a SQLite file, and `server`, which nobody reaches."""
    services = services_with_a_target(tmp_path, sqlite_database, target="shop")
    services.targets.add("server", "postgresql://reader:s3cret@db.example.com/shop")
    return services


@pytest.fixture
def run(shop: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command that has to succeed; answers what it printed."""
    monkeypatch.chdir(tmp_path)
    environment = {"HHH_DATA_DIR": str(shop.settings.data_dir)}

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command.app, [*arguments], env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_a_target_sealed_with_another_key_does_not_hide_the_others(
    sqlite_database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    TargetService(settings_in(tmp_path, secret_key="another " * 8), sqlite_database).add("closed", "sqlite:////x.db")
    environment = {"HHH_DATA_DIR": str(settings.data_dir)}

    as_table = CliRunner().invoke(command.app, ["list"], env=environment)
    as_json = CliRunner().invoke(command.app, ["list", "--json"], env=environment)

    assert (as_table.exit_code, as_json.exit_code) == (0, 0), as_table.output + as_json.output
    assert "(The stored secret of target closed can't be opened" in as_table.output
    app, closed = json.loads(as_json.output)
    assert (app["name"], app["problem"]) == ("app", None)
    assert closed["url"] is None
    assert "HHH_SECRET_KEY" in closed["problem"]


def demands(services: Services, target: str = "shop") -> ProofFields:
    return services.policies.of(target).proof


def test_what_is_demanded_of_backups_is_set_and_taken_away_again(shop: Services, run: Run) -> None:
    run(
        "set", "shop", "--verify-after-backup", "proven", "--fingerprint", "sampled", "--drill-server", "server",
        "--proven-within", "7d", "--backed-up-within", "26h", "--assertion", "SELECT 1;", "--assertion", "SELECT 2",
    )  # fmt: skip
    assert demands(shop) == ProofFields(
        verify_after_backup="proven",
        fingerprint="sampled",
        drill_target="server",
        proven_within_days=7,
        backed_up_within_hours=26,
        assertions=["SELECT 1", "SELECT 2"],
    )
    run("set", "shop", "--assertion", "SELECT 3", "--fingerprint", "off")
    assert demands(shop).assertions == ["SELECT 3"]
    assert (demands(shop).fingerprint, demands(shop).proven_within_days) == ("off", 7)
    run(
        "set", "shop", "--verify-after-backup", "none", "--drill-server", "none", "--proven-within", "none",
        "--backed-up-within", "none", "--no-assertions",
    )  # fmt: skip
    assert demands(shop) == ProofFields()


def test_a_new_target_may_come_with_demands_and_app_has_them_too(shop: Services, run: Run) -> None:
    run("add", "new", "sqlite:////srv/new.db", "--verify-after-backup", "readable")
    run("set", "app", "--proven-within", "2w")
    assert demands(shop, "new").verify_after_backup == "readable"
    assert demands(shop, "app").proven_within_days == 14


def test_what_is_demanded_is_told_in_words_and_whole_to_programs(shop: Services, run: Run) -> None:
    long = f"SELECT count(*) > 0 FROM orders\n WHERE name <> '{'x' * 200}'"
    assert "drill on    a throw-away server" in run("show", "shop")
    changed = run(
        "set", "shop", "--verify-after-backup", "proven", "--fingerprint", "full", "--assertion", long,
        "--proven-within", "1d", "--backed-up-within", "26h", "--drill-server", "server",
    )  # fmt: skip
    for shown in (changed, run("show", "shop")):
        assert "after each backup: proven" in shown
        assert "full, of each table's rows" in shown
        assert "the server of server" in shown
        assert "proven within 1 day, backed up within 26 hours" in shown
        assert "SELECT count(*) > 0 FROM orders WHERE name <> 'xxx" in shown
        assert "x" * 60 not in shown
        assert "…" in shown
    assert json.loads(run("show", "shop", "--json"))["assertions"] == [long]


def test_a_file_of_assertions_has_each_ended_at_the_end_of_a_line(shop: Services, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "assertions.sql"
    file.write_text(
        "-- orders are there\n"
        "SELECT count(*) > 0\n  FROM orders;  \n\n"
        "SELECT ';' = ';' AND 1 = 1;\n;\n"
        "SELECT true\n"
        "-- the end\n"
    )
    run("set", "shop", "--assertions-file", str(file), "--assertion", "SELECT 4")
    assert demands(shop).assertions == [
        "-- orders are there\nSELECT count(*) > 0\n  FROM orders",
        "SELECT ';' = ';' AND 1 = 1",
        "SELECT true",
        "SELECT 4",
    ]


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (("--no-assertions", "--assertion", "SELECT 1"), "leaves no assertion"),
        (("--assertion", " ; "), "empty"),
        (("--assertions-file", "{empty}"), "has no query"),
        (("--assertions-file", "{latin}"), "can't be read"),
        (("--drill-server", "shop"), "a target of sqlite"),
        (("--drill-server", "nowhere"), "no registered target"),
        (("--proven-within", "36h"), "no number of whole days"),
        (("--proven-within", "7"), "no duration"),
        (("--backed-up-within", "90m"), "no number of whole hours"),
    ],
)
def test_demands_that_can_not_be_met_change_nothing(
    shop: Services, run: Run, tmp_path: Path, typed: tuple[str, ...], problem: str
) -> None:
    files = {"{empty}": b"-- nothing\n\n;\n", "{latin}": b"SELECT '\xe9';"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=problem):
        run(
            "set", "shop", "--fingerprint", "full", *(str(tmp_path / each) if each in files else each for each in typed)
        )
    assert demands(shop) == ProofFields()
