"""The runbook, line by line: the commands are those of docs/BACKUP_RESTORE.md, the answers the first runbook's."""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.documentation import README, RUNBOOK, Answer, Operator, blocks, require_programs
from support.postgres import ONE_MAJOR_AT_FIRST, PostgresServer
from support.receivers import a_web_hook
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service, ServiceFactory, hhh_command
from support.session import current_session
from support.triggers import failure, trigger

#: The first runbook's own commands; operators have scripts made of them.
FIRST_RUNBOOK = {
    "health": """\
curl -i -c cookies.txt "{{base_url}}/api/v1/auth/health"
""",
    "trigger": """\
CSRF=$(grep hhh_csrf cookies.txt | awk '{print $7}')
curl -i -b cookies.txt -c cookies.txt \\
  -H "X-CSRF-Token: $CSRF" \\
  -X POST "{{base_url}}/api/v1/backups/trigger"
""",
    "logs": """\
curl -i -b cookies.txt "{{base_url}}/api/v1/backups/logs?limit=50&offset=0"
""",
    "stats": """\
curl -i -b cookies.txt "{{base_url}}/api/v1/backups/stats"
""",
}
BACKUP_FILE = re.compile(r"backup_\d{8}_\d{6}(_\d+)?\.sql")
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+00:00")


@pytest.fixture(scope="module")
def shared_service() -> Iterator[Service]:
    """The installed command, begun as an operator begins it."""
    with Service(current_session().new_folder("shared-service"), command=[*hhh_command(), "serve"]) as running:
        yield running


@pytest.fixture(autouse=True)
def _programs() -> None:
    require_programs("bash", "curl", "grep", "awk")


# ------------------------------------------------------------------------------------- what the runbook prints


@pytest.mark.parametrize("name", FIRST_RUNBOOK)
def test_the_documented_command_is_the_first_runbooks_own(name: str) -> None:
    assert blocks(RUNBOOK)[name] == FIRST_RUNBOOK[name]


def test_the_runbook_works_on_sqlite(service: Service, tmp_path: Path) -> None:
    follow_the_runbook(service, tmp_path)


@pytest.mark.postgres
@ONE_MAJOR_AT_FIRST
def test_the_runbook_works_on_postgresql(
    postgres: PostgresServer, postgres_database: str, service_factory: ServiceFactory, tmp_path: Path
) -> None:
    service = service_factory(database_url=postgres.url(postgres_database), pg_bin_dir=postgres.bin_dir)

    follow_the_runbook(service, tmp_path)


def follow_the_runbook(service: Service, folder: Path) -> None:
    """Health, login, trigger, logs, stats; twice, since the second time things are there already."""
    operator = Operator(folder, service)
    health = operator.curl("health")
    assert health.status == 200
    assert health.headers["set-cookie"].startswith("hhh_csrf=")
    assert operator.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD).status == 200
    jar = (folder / "cookies.txt").read_text()
    assert [jar.count(f"\t{name}\t") for name in ("hhh_at", "hhh_rt", "hhh_csrf")] == [1, 1, 1]

    first = check_trigger(operator.curl("trigger"), service)
    check_logs(operator.curl("logs"), [first])
    check_stats(operator.curl("stats"), [first])
    second = check_trigger(operator.curl("trigger"), service)
    check_logs(operator.curl("logs"), [second, first])
    check_stats(operator.curl("stats"), [second, first])


def check_trigger(answer: Answer, service: Service) -> dict[str, Any]:
    backup: dict[str, Any] = answer.body
    assert answer.status == 200, service.log()
    assert answer.headers["content-type"] == "application/json"
    assert list(backup) == ["success", "message", "backup_file", "backup_size", "backup_id"]
    assert backup["success"] is True
    assert backup["message"] == "Backup completed successfully"
    assert BACKUP_FILE.fullmatch(backup["backup_file"])
    assert str(uuid.UUID(backup["backup_id"])) == backup["backup_id"]
    assert type(backup["backup_size"]) is int
    check_stored(service, backup)
    return backup


def check_stored(service: Service, backup: dict[str, Any]) -> None:
    """The object is where the manifest says, and is what it says."""
    store = service.data_dir / "backups"
    (manifest_file,) = store.glob(f"*/app/{backup['backup_file']}.json")
    stored = json.loads(manifest_file.read_text())["object"]
    content = (store / stored["key"]).read_bytes()
    assert len(content) == stored["size"] == backup["backup_size"]
    assert hashlib.sha256(content).hexdigest() == stored["sha256"]


def check_logs(answer: Answer, backups: list[dict[str, Any]]) -> None:
    assert answer.status == 200
    assert answer.body == [
        {
            "id": backup["backup_id"],
            "backup_file": backup["backup_file"],
            "backup_size": backup["backup_size"],
            "status": "BackupStatus.SUCCESS",
            "created_at": entry["created_at"],
        }
        for backup, entry in zip(backups, answer.body, strict=True)
    ]
    for entry in answer.body:
        assert list(entry) == ["id", "backup_file", "backup_size", "status", "created_at"]
        assert MOMENT.fullmatch(entry["created_at"])
        stamp = datetime.fromisoformat(entry["created_at"]).strftime("%Y%m%d_%H%M%S")
        assert entry["backup_file"].startswith(f"backup_{stamp}")


def check_stats(answer: Answer, backups: list[dict[str, Any]]) -> None:
    stats: dict[str, Any] = answer.body
    assert answer.status == 200
    assert list(stats) == [
        "total_backups",
        "successful_backups",
        "failed_backups",
        "total_backup_size",
        "latest_backup",
    ]
    assert (stats["total_backups"], stats["successful_backups"], stats["failed_backups"]) == (
        len(backups),
        len(backups),
        0,
    )
    assert stats["total_backup_size"] == sum(backup["backup_size"] for backup in backups)
    latest = stats["latest_backup"]
    assert list(latest) == ["file", "size", "created_at"]
    assert (latest["file"], latest["size"]) == (backups[0]["backup_file"], backups[0]["backup_size"])
    assert MOMENT.fullmatch(latest["created_at"])


# --------------------------------------------------------------------------------------------- its other blocks


def test_a_script_triggers_with_a_token_until_that_is_revoked(service: Service, tmp_path: Path) -> None:
    operator = Operator(tmp_path, service)

    assert "nightly" in operator.must_run("make-token")
    assert (tmp_path / "nightly.token").stat().st_mode & 0o077 == 0
    check_stored(service, operator.curl("trigger-with-token").body)
    operator.run_script("hhh tokens revoke nightly")
    assert operator.curl("trigger-with-token").status == 401


def test_the_readme_backs_up_over_http_with_a_password_and_with_a_token(service: Service, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "shop.db").close()
    tourist = Operator(tmp_path, service, page=README)
    tourist.run_script("hhh target add shop -", stdin=f"sqlite:///{tmp_path}/shop.db")
    typed = "\n".join(tourist.block(name) for name in ("tour-http", "tour-token"))
    for printed, own in (("http://localhost:8000", service.base_url), ("admin@localhost", ADMIN_EMAIL)):
        typed = typed.replace(printed, own)

    answers = tourist.run_script(typed.replace("…", ADMIN_PASSWORD)).stdout

    assert answers.count('"message":"Backup completed successfully"') == 2
    assert answers.count('"status":"BackupStatus.SUCCESS"') == 1


def test_the_commands_of_the_command_line_work_beside_the_service(service: Service, tmp_path: Path) -> None:
    operator = Operator(tmp_path, service)

    printed = operator.must_run("command-line")

    assert "Stored backup_" in printed
    assert printed.rstrip().endswith("All is well.")


def test_who_is_to_be_told_is_told_and_every_database_is_looked_at(service: Service, tmp_path: Path) -> None:
    with a_web_hook() as hook:
        told = Operator(tmp_path, service).run("be-told", stdin=hook.url())

        assert len(hook.posts) == 1, told.stderr
    assert "Nothing is known to be wrong." in told.stdout
    assert re.search(r"^app +yes +unproven", told.stdout, re.MULTILINE)
    assert told.returncode == 1, "nothing is backed up yet"


def test_backups_of_the_old_place_are_known_in_the_new_one(service: Service, tmp_path: Path) -> None:
    trigger(service, None)
    (tmp_path / "old").mkdir()
    (service.data_dir / "backups").rename(tmp_path / "old" / "backups")
    operator = Operator(tmp_path, service)
    operator.environment["HHH_STORAGE_URL"] = f"file://{tmp_path}/new"

    typed = operator.block("old-place").replace("/srv/backups", f"{tmp_path}/old/backups")

    assert "completed: 1," in operator.run_script(typed).stdout


@pytest.mark.soak
def test_targets_are_added_as_documented_and_listed_without_their_passwords(operator: Operator) -> None:
    operator.environment["SHOP_URL"] = "postgresql://hhh_backup:p%40ss%2Fword@db.example.com/shop"
    operator.environment["NOTES_URL"] = "sqlite:////var/lib/notes/notes.db"

    printed = operator.must_run("add-targets")

    assert "shop" in printed
    assert "notes" in printed
    assert "p%40ss" not in printed


def test_the_query_for_inconsistent_rows_finds_them_and_no_others(service: Service, tmp_path: Path) -> None:
    trigger(service, None)
    failure(service, f"sqlite:///{tmp_path}/nowhere.db")
    service.terminate()
    with contextlib.closing(sqlite3.connect(service.data_dir / "hhh.db")) as connection:
        query = blocks(RUNBOOK)["inconsistent-rows"]
        assert connection.execute(query).fetchall() == []
        for change in ("status = 'SUCESS'", "finished_at = NULL"):
            connection.execute(f"UPDATE backup_log SET {change} WHERE target = 'app'")
            assert len(connection.execute(query).fetchall()) == 1
            connection.rollback()


def test_leftovers_in_a_folder_are_listed_and_nothing_that_is_a_backup(service: Service, tmp_path: Path) -> None:
    require_programs("find")
    trigger(service, None)
    store = service.data_dir / "backups"
    (folder,) = store.glob("*/app")
    backup = next(folder.glob("*.sql.json")).name.removesuffix(".json")
    left = {
        str(folder / name)
        for name in ("backup_20200101_000000.sql.1.zst", f"{backup}.2.zst.age", ".hhh-unfinished-0123456789abcdef")
    }
    for path in left:
        Path(path).touch()
    two_days_ago = time.time() - 2 * 86_400
    for file in folder.iterdir():
        os.utime(file, (two_days_ago, two_days_ago))
    (folder / "backup_20990101_000000.sql.1.zst").touch()  # one that is being written
    operator = Operator(tmp_path, service)
    operator.environment["STORE"] = str(store)

    assert set(operator.must_run("leftovers").splitlines()) == left
