"""The command beside a server and without one: exit codes, JSON, errors in one sentence, the doctor."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.backing_up import STATS, assert_stored, hhh, register, trigger
from support.faulty_proxy import FaultyS3
from support.service import Service, ServiceFactory
from support.sqlite_data import make_sqlite_database


@pytest.fixture
def stopped(service_factory: ServiceFactory) -> Service:
    """The settings and data of a service that is not running."""
    service = service_factory()
    service.terminate()
    return service


def as_json(service: Service, *arguments: str) -> Any:
    done = hhh(service, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def assert_refused(service: Service, *arguments: str, code: int, saying: str, **more: Any) -> None:
    refused = hhh(service, *arguments, **more)
    assert refused.returncode == code, refused.stderr
    assert refused.stdout == ""
    assert saying in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.soak
def test_backups_are_taken_listed_and_shown_beside_a_server(service: Service, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "shop.db")
    added = hhh(service, "target", "add", "shop", "-", "--json", standard_input=f"sqlite:///{tmp_path / 'shop.db'}\n")
    assert (added.returncode, added.stderr) == (0, "")
    assert json.loads(added.stdout)["name"] == "shop"
    assert [target["name"] for target in as_json(service, "target", "list")] == ["app", "shop"]

    taken = as_json(service, "backup", "run", "shop")
    assert (taken["status"], taken["target"]) == ("success", "shop")
    plain = hhh(service, "backup", "run")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout.startswith("Stored backup_")
    with service.signed_in_client() as client:
        assert_stored(trigger(client, "shop"))
        assert client.get(STATS).json()["successful_backups"] == 3

    listed = as_json(service, "backup", "list")
    assert [backup["target"] for backup in listed] == ["shop", "app", "shop"]
    assert as_json(service, "backup", "show", taken["id"]) == taken == listed[2]
    narrowed = as_json(service, "backup", "list", "--target", "shop", "--status", "success", "--limit", "1")
    assert narrowed == listed[:1]
    for text in (hhh(service, "backup", "list").stdout, hhh(service, "backup", "show", taken["id"]).stdout):
        assert taken["backup_file"] in text
        assert taken["id"] in text
    assert "no, it is stored in clear" in text
    assert taken["manifest"]["facts"]["sha256"] in text


def test_a_command_in_a_wrong_folder_tells_that_it_began_a_new_installation(stopped: Service, tmp_path: Path) -> None:
    elsewhere = {"HHH_DATA_DIR": str(tmp_path / "elsewhere")}

    first, second = (hhh(stopped, "backup", "run", environment=elsewhere) for _ in range(2))

    assert f"A new installation was begun in {tmp_path / 'elsewhere'}." in first.stderr
    assert second.stderr == ""


@pytest.mark.soak
def test_wrong_usage_ends_with_2_and_failure_with_1(stopped: Service, tmp_path: Path) -> None:
    assert_refused(stopped, "backup", "run", "nobody", code=1, saying="No target is named 'nobody'")
    assert_refused(stopped, "target", "add", "Bad Name", "sqlite:////x", code=2, saying="no name for a target")
    assert_refused(stopped, "target", "add", "a", "-", code=2, saying="standard input")
    for settings, saying in (
        ({"HHH_STORAGE_URI": "x"}, "did you mean HHH_STORAGE_URL?"),
        ({"HHH_DATA_DIR": "/proc/nowhere"}, "/proc/nowhere"),
    ):
        assert_refused(stopped, "backup", "list", code=2, saying=saying, environment=settings)
    (tmp_path / "own.db").write_bytes(b"something else\n" * 1000)
    own = {"HHH_DATABASE_URL": f"sqlite:///{tmp_path / 'own.db'}"}
    assert_refused(stopped, "backup", "list", code=1, saying="not a database", environment=own)
    gone = {"HHH_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    for command in (["backup", "list"], ["serve"]):
        assert_refused(stopped, *command, code=1, saying="refused", environment=gone)


def test_a_backup_that_fails_says_why_and_is_in_the_list(stopped: Service) -> None:
    failed = hhh(stopped, "backup", "run", "--json", environment={"HHH_SCRATCH_DIR": "/proc/nowhere"})
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["status"] == "failed"
    *_, error = failed.stderr.splitlines()
    assert error.startswith("Error: Backup failed: The scratch folder /proc/nowhere can't be written")
    assert [backup["status"] for backup in as_json(stopped, "backup", "list")] == ["failed"]
    assert hhh(stopped, "backup", "run").returncode == 0


@pytest.mark.soak
def test_help_and_version_need_no_settings(stopped: Service) -> None:
    broken = {"HHH_NONSENSE": "x"}
    assert hhh(stopped, "--version", environment=broken).stdout.startswith("hhh ")
    for command in ([], ["backup", "run"]):
        assert hhh(stopped, *command, "--help", environment=broken).returncode == 0


def test_a_port_in_use_is_told(service: Service, service_factory: ServiceFactory) -> None:
    assert_refused(service, "serve", code=2, saying="Can't listen on")


@pytest.mark.soak
@pytest.mark.s3
def test_the_doctor_looks_at_everything_and_says_what_is_wrong(
    service_factory: ServiceFactory, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    service = service_factory(storage_url=faulty_s3.bucket.url(), environment=faulty_s3.bucket.environment())
    make_sqlite_database(tmp_path / "shop.db")
    with service.signed_in_client() as client:
        register(client, "shop", f"sqlite:///{tmp_path / 'shop.db'}")
    well = as_json(service, "doctor")
    assert all(finding["ok"] for finding in well)
    subjects = {finding["subject"].partition(":")[0] for finding in well}
    assert subjects >= {"own database", "scratch folder", "signing key", "store default", "target app", "target shop"}
    assert "All is well." in hhh(service, "doctor").stdout
    assert faulty_s3.bucket.keys() == []

    (tmp_path / "shop.db").write_bytes(b"something else\n" * 1000)
    faulty_s3.proxy.answer(403, where=lambda request: request.method == "PUT")
    misplaced = {"HHH_SCRATCH_DIR": "/proc/nowhere", "HHH_PG_BIN_DIR": str(tmp_path)}
    ill = hhh(service, "doctor", "--json", environment=misplaced)
    assert ill.returncode == 1
    wrong = {finding["subject"]: finding["detail"] for finding in json.loads(ill.stdout) if not finding["ok"]}
    assert "/proc/nowhere" in wrong["scratch folder"]
    assert "HHH_PG_BIN_DIR" in wrong["PostgreSQL programs"]
    assert any("403" in detail for subject, detail in wrong.items() if subject.startswith("store default"))
    assert "target shop" in wrong
    text = hhh(service, "doctor")
    assert text.returncode == 1
    assert "FAIL target shop" in text.stdout
    assert "need you." in text.stdout


def test_the_doctor_goes_on_past_a_secret_that_can_not_be_opened(service: Service) -> None:
    with service.signed_in_client() as client:
        register(client, "shop", "postgresql://u:p@127.0.0.1:1/shop")
    other_key = {"HHH_SECRET_KEY": "another key, long enough to be one"}
    ill = hhh(service, "doctor", "--json", environment=other_key)
    assert ill.returncode == 1
    wrong = {finding["subject"]: finding["detail"] for finding in json.loads(ill.stdout) if not finding["ok"]}
    assert wrong.keys() == {"target shop", "recovery keys"}
    assert all("HHH_SECRET_KEY" in detail for detail in wrong.values())
