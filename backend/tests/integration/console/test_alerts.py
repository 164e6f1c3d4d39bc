"""The room of alerts: what is wrong, who is told, and a channel set up, tried, changed and removed."""

from collections.abc import Iterator

import pytest

from hhh.console.views.alert_view import KINDS
from hhh.models import AlertKind, BackupStatus
from hhh.services.alerts import AlertService
from support.console import Console
from support.receivers import WebHook, a_web_hook
from support.recoverable import a_backup
from support.waiting import wait_until

SECRET = "hook-s3cret"


def test_every_kind_of_trouble_can_be_chosen() -> None:
    assert set(KINDS) == set(AlertKind)


@pytest.fixture(scope="module")
def hook() -> Iterator[WebHook]:
    with a_web_hook() as hook:
        yield hook


@pytest.fixture
def alerts(console: Console) -> AlertService:
    return console.services.alerts


def test_without_a_channel_the_page_says_that_nobody_is_told(fresh_console: Console) -> None:
    page = fresh_console.get("/alerts")
    assert page.title == "Alerts"
    assert "Nobody is told" in page.text
    assert "HHH_HEARTBEAT_URL" in page.text
    assert page.links["Add a channel"] == "/new-alert"


def test_a_channel_is_set_up_tried_changed_and_removed_and_its_url_is_on_no_page(
    console: Console, hook: WebHook
) -> None:
    console.secrets.add(SECRET)
    form = console.get("/new-alert")
    page = console.press(form, "Save", name="ops", url=hook.url(SECRET), targets="prod-*, shop")
    assert page.notices[0].startswith("The channel is set up.")
    [row] = page.rows("Who is told")
    assert (row["Channel"], row["State"]) == (f"ops json://127.0.0.1:{hook.port}/***", "nothing sent yet")
    assert (row["Told of"], row["Databases"]) == ("everything", "prod-*, shop")

    page = console.press(page, "Test ops")
    assert page.notices == ["ops has taken the test message. See that it arrived."]
    assert hook.titles == ["HHH Backup: a test"]

    hook.status = 503
    page = console.press(page, "Test ops")
    hook.status = 200
    assert page.notices[0].startswith("ops has not taken the test message: ")
    assert "503" in page.notices[0]

    edit = console.get(page.links["ops"])
    page = console.press(edit, "Save", kinds=["backup-failed", "size-odd"], targets="")
    [row] = page.rows("Who is told")
    assert row["Told of"] == "a backup failed; a backup is much larger or smaller than usual"
    assert row["Databases"] == "all"

    page = console.press(console.get(page.links["ops"]), "Remove this channel")
    assert page.notices[0].startswith("The channel is removed.")


def test_what_cannot_be_used_stands_beside_its_field_and_the_url_is_to_be_typed_again(console: Console) -> None:
    page = console.send("/new-alert", name="Ops!", url="", kinds=[])
    assert page.status == 422
    assert page.wrong["name"].startswith("This can't be its name.")
    assert page.wrong["url"].startswith("This is needed.")
    assert "Choose at least one" in page.text

    page = console.send("/new-alert", name="ops", url="dbus://s3cret-desktop", kinds=["size-odd"])
    assert page.status == 422
    assert "Alerts can't go to dbus://" in page.notices[0]
    assert "s3cret-desktop" not in page.html


def test_what_is_wrong_now_is_told_with_what_to_do_and_messages_with_what_became_of_them(
    console: Console, alerts: AlertService, hook: WebHook
) -> None:
    console.send("/new-alert", name="hook", url=hook.url(), kinds=["backup-failed"], enabled="yes")
    console.add_target("shop")
    a_backup(console.database, "shop", status=BackupStatus.FAILED, error="line one\npg_dump: error: no such table")
    alerts.rounds.look(at_once=True)
    page = console.get("/alerts")
    [row] = page.rows("What is wrong now")
    assert row["What"].startswith("shop: backup failed The backup of shop that was begun at ")
    assert "It said: pg_dump: error: no such table." in row["What"]
    assert row["What to do"] == "Put that right, then: hhh backup run shop."
    assert page.links["shop: backup failed"] == "/targets/shop"

    alerts.outbox.deliver_all()  # unless the service itself is faster
    wait_until(lambda: console.get("/alerts").rows("Newest messages")[0]["State"] == "delivered")
    [row] = console.get("/alerts").rows("Newest messages")
    assert (row["Message"], row["Channel"], row["State"]) == ("HHH Backup: shop: backup failed", "hook", "delivered")
