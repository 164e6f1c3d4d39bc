"""What `docs/` says of metrics is what the service has: the table, the alert rules and the dashboard."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from fastapi.testclient import TestClient

from hhh import migrations
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.main import create_app
from hhh.models import AlertChannel, CopyStatus, WorkerRow
from hhh.schemas.policy import PolicyFields
from hhh.services.container import Services
from hhh.web.monitoring_app import monitoring_app
from support.documentation import DOCS
from support.local_services import settings_in
from support.recoverable import a_backup, a_verification
from support.scraping import Scraped, scrape

_NAME = re.compile(r"\bhhh_\w+")
_BY = re.compile(r"by \(([^)]*)\)")
_MATCHED = re.compile(r'(\w+)(?:=|=~)"')
PAGE = DOCS / "monitoring.md"


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Of a service that has something to tell by every metric."""
    settings = settings_in(tmp_path_factory.mktemp("service"))
    database = Database(settings.own_database_url)
    migrations.upgrade(database)
    app = create_app(settings, database)
    _fill(app.state.services)
    with TestClient(app) as client, TestClient(monitoring_app(app.state.monitoring)) as watcher:
        client.get("/healthz")
        yield scrape(watcher)
    database.close()


def _fill(services: Services) -> None:
    database, now = services.database, utcnow()
    copies = {"default": CopyStatus.STORED, "second": CopyStatus.MISSING}
    backup_id = a_backup(database, copies=copies, finished_at=now, raw_size=100)
    a_verification(database, backup_id, result={"restore_seconds": 2.5, "restore_bytes_per_second": 40.0})
    demanded = PolicyFields(backed_up_within_hours=24, proven_within_days=7)
    services.targets.update("app", None, demanded, whole=False)
    worker = WorkerRow(id="1", name="w", host="h", pid=1, version="1", state="active", slots=1, queues="backup")
    worker.started_at = worker.heartbeat_at = now - timedelta(seconds=1)
    with database.transaction() as session:
        session.add(worker)
        session.add(AlertChannel(id="1", name="ops", sealed_url="", enabled=True, created_at=now))


def described(scraped: Scraped) -> list[str]:
    """The rows of the table: one for each family that is ours and has a sample."""
    rows = []
    for family in scraped.families.values():
        if not family.name.startswith("hhh_") or family.name.endswith("_created"):
            continue
        assert family.samples, f"nothing was told by {family.name}"
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        told = ", ".join(f"`{label}`" for label in sorted(labels)) or "–"
        rows.append(f"| `{name}` | {told} | {family.documentation.removesuffix('.')} |")
    return rows


def test_the_table_has_every_metric_with_its_labels_and_no_other(scraped: Scraped) -> None:
    rows = re.findall(r"^\| `hhh_.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == described(scraped)


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((DOCS / "prometheus-rules.yml").read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*(rule["expr"] for rule in alerts()), *asked]


@pytest.mark.parametrize("expression", expressions())
def test_rules_and_dashboard_ask_for_what_there_is(scraped: Scraped, expression: str) -> None:
    names = set(_NAME.findall(expression))
    assert names
    assert names <= scraped.names
    labels = {label for name in names for each in scraped.labels(name) for label in each}
    asked = {label.strip() for some in _BY.findall(expression) for label in some.split(",")}
    assert asked | set(_MATCHED.findall(expression)) <= labels
    assert expression.count("(") == expression.count(")")


def test_every_rule_says_what_it_means_here_and_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {*rule["annotations"]} == {"summary", "description"}
        assert f"`{rule['alert']}`" in page
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_the_panels_of_the_dashboard_lie_beside_each_other() -> None:
    covered: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        columns, rows = (range(place[at], place[at] + place[size]) for at, size in (("x", "w"), ("y", "h")))
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & covered, panel["title"]
        assert max(columns) < 24
        covered |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_the_states_of_the_rules_are_those_of_targets(scraped: Scraped) -> None:
    states = {each["state"] for each in scraped.labels("hhh_target_state")}
    named = {state for expression in expressions() for state in re.findall(r'state="(\w+)"', expression)}
    assert named - {"silent"} <= states
