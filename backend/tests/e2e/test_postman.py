"""The Postman collection: what the runbook says of it, and all its tests against a running service, by newman."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hhh.core.config import load_settings
from hhh.core.database import Database
from hhh.main import create_app
from support.documentation import DOCS, RESTORE
from support.npm import FOLDER, node, node_modules
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.sqlite_data import make_sqlite_database

COLLECTION = DOCS / "HHH_API.postman_collection.json"


def collection() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(COLLECTION.read_text(encoding="utf-8"))
    return content


def test_it_has_the_variables_and_requests_of_the_runbook() -> None:
    variables = {each["key"]: each["value"] for each in collection()["variable"]}
    requests = {each["name"]: each["request"] for each in collection()["item"]}

    assert variables["base_url"] == "http://localhost:8000"
    assert variables["csrf_token"] == ""
    assert variables["password"] == ""
    calls = {name: (request["method"], request["url"]["raw"]) for name, request in requests.items()}
    assert calls["Auth – Health"] == ("GET", "{{base_url}}/api/v1/auth/health")
    assert calls["Backups – Trigger"] == ("POST", "{{base_url}}/api/v1/backups/trigger")
    assert calls["Backups – Logs"] == ("GET", "{{base_url}}/api/v1/backups/logs?limit=50&offset=0")
    assert calls["Backups – Stats"] == ("GET", "{{base_url}}/api/v1/backups/stats")
    assert {"key": "X-CSRF-Token", "value": "{{csrf_token}}"} in requests["Backups – Trigger"]["header"]


def test_it_has_every_call_that_the_page_on_restores_describes() -> None:
    requests = [each["request"] for each in collection()["item"]]
    urls = [(request["method"], request["url"]["raw"].removeprefix("{{base_url}}")) for request in requests]
    calls = {(method, re.sub(r"{{\w+}}", "{id}", url).partition("?")[0]) for method, url in urls}

    described = set(re.findall(r"^\| `(GET|POST) (/api/v1/\S+)` \|", RESTORE.read_text(), re.MULTILINE))
    assert len(described) == 7
    assert described <= calls


def test_it_has_every_call_of_the_api(tmp_path: Path) -> None:
    settings = load_settings({"HHH_DATA_DIR": str(tmp_path)}, dotenv=tmp_path / "none")
    paths = create_app(settings, Database(settings.own_database_url)).openapi()["paths"]
    known = {(method.upper(), re.sub(r"{\w+}", "{id}", path)) for path, methods in paths.items() for method in methods}

    requests = [each["request"] for each in collection()["item"]]
    urls = [(request["method"], request["url"]["raw"].removeprefix("{{base_url}}")) for request in requests]
    calls = {(method, re.sub(r"{{\w+}}|(?<=/storages/)default", "{id}", url).partition("?")[0]) for method, url in urls}
    assert calls == known


def test_its_order_is_the_runbooks() -> None:
    names = [each["name"] for each in collection()["item"]]

    wanted = ["Auth – Health", "Auth – Login", "Backups – Trigger", "Backups – Logs", "Backups – Stats"]
    assert [name for name in names if name in wanted] == wanted


def test_every_request_has_tests_and_is_described() -> None:
    for item in collection()["item"]:
        scripts = {event["listen"]: "\n".join(event["script"]["exec"]) for event in item["event"]}
        assert "pm.test(" in scripts["test"], item["name"]


def test_what_comes_from_npm_is_pinned_exactly_and_the_lock_names_no_registry() -> None:
    package = json.loads((FOLDER / "package.json").read_text())
    lock = json.loads((FOLDER / "package-lock.json").read_text())

    for name, version in package["dependencies"].items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, entry in lock["packages"].items():
        assert "resolved" not in entry, name
        assert not name or entry.get("bundled") or entry["integrity"].startswith("sha512-"), name


def test_all_its_tests_pass_against_a_running_service(service: Service, newman: list[str], tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "shop.db")
    variables = {
        "target_name": "shop",
        "target_url": f"sqlite:///{tmp_path}/shop.db",
        "restore_destination": f"{tmp_path}/restored.db",
        "replace_target": "shop",
        "store_url": f"file://{tmp_path}/second",
        "remove_target": "shop",
        "channel_url": "json://user:password@127.0.0.1:9/",  # nobody answers there
        "token_name": "postman",
        "new_user_email": "member@example.com",
        "end_other_sessions": "yes",
        "try_second_factor": "yes",
        "new_password": "another long one, of the collection",
    }
    (tmp_path / "second").mkdir()

    report = run_collection(newman, service, tmp_path, variables)

    ran = [execution["item"]["name"] for execution in report["run"]["executions"]]
    assert {each["name"] for each in collection()["item"]} <= set(ran)
    assert report["run"]["stats"]["assertions"]["total"] >= 190
    assert (tmp_path / "restored.db").exists()


@pytest.mark.soak
def test_it_can_be_run_again_and_adds_and_restores_nothing_unless_it_is_told_what(
    service: Service, newman: list[str], tmp_path: Path
) -> None:
    for _ in range(2):
        run_collection(newman, service, tmp_path, {})

    with service.signed_in_client() as client:
        assert [target["name"] for target in client.get("/api/v1/targets").json()] == ["app"]
        assert {restore["dry_run"] for restore in client.get("/api/v1/restores").json()["items"]} == {True}


def run_collection(newman: list[str], service: Service, folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Runs the whole collection unattended; the report. AssertionError with newman's own output if a test fails."""
    given = {"base_url": service.base_url, "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD, **variables}
    environment, report = folder / "environment.json", folder / "report.json"
    values = [{"key": name, "value": value, "enabled": True} for name, value in given.items()]
    environment.write_text(json.dumps({"name": "test", "values": values}))
    options = ["--environment", str(environment), "--reporters", "cli,json", "--reporter-json-export", str(report)]
    done = subprocess.run(
        [*newman, "run", COLLECTION, *options, "--timeout", "90000", "--color", "off", "--disable-unicode"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{service.log()}"
    content: dict[str, Any] = json.loads(report.read_text())
    return content


@pytest.fixture
def newman() -> list[str]:
    """How to start newman."""
    return [node(), str(node_modules() / "newman/bin/newman.js")]
