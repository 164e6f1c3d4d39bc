"""Errors told as pages, and to programs in JSON."""

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from hhh import migrations
from hhh.web.body_limit import LARGEST_BODY
from support.console import Console
from support.console_browsers import HERE, has_menu
from support.pages import Seen
from support.sign_in import EMAIL, PASSWORD

STATS, ME = "/api/v1/backups/stats", "/api/v1/auth/me"


def test_an_unknown_page_has_the_menu_for_who_is_signed_in_only(browser: Console) -> None:
    seen, unseen = browser.get("/nowhere"), browser.another_browser().get("/nowhere")

    assert [(page.status, has_menu(page)) for page in (seen, unseen)] == [(404, True), (404, False)]
    assert "There is no such page." in seen.text
    assert browser.send("/nowhere").heading == "Not found"


def test_the_page_of_an_error_hands_out_the_token_of_its_forms(browser: Console) -> None:
    browser.client.cookies.delete("hhh_csrf", domain="testserver.local", path="/")

    page = browser.get("/nowhere")
    [token] = [each.get("value") for each in page.root.all("input") if each.get("name") == "csrf_token"]

    assert browser.send("/sign-out", csrf_token=token).location == "/sign-in?done=signed-out"


def test_a_way_that_a_page_does_not_have_says_so(browser: Console) -> None:
    assert (browser.get("/sign-out").status, browser.get("/sign-out").heading) == (405, "Not like this")


def test_a_form_that_is_too_large_says_so(browser: Console) -> None:
    page = browser.send("/new-user", email="x" * LARGEST_BODY)

    assert (page.status, page.heading) == (413, "Too large")


@pytest.mark.parametrize(
    "referer", ["http://[", "http://testserver:99999999/x", "//", "x" * 5000, "http://evil.example/x"]
)
def test_a_referer_that_makes_no_sense_breaks_no_page(browser: Console, referer: str) -> None:
    answer = browser.client.get("/nowhere", headers={"Referer": referer})

    assert answer.status_code == 404
    assert Seen(404, answer.text).links["Go back"] == "/"


def test_the_page_of_an_error_leads_back_to_where_its_form_was(browser: Console) -> None:
    answer = browser.client.get("/nowhere", headers={"Referer": f"{HERE}/backups?target=app"})

    assert Seen(404, answer.text).links["Go back"] == "/backups?target=app"


@pytest.mark.parametrize("room", ["backups", "drills", "restores", "schedules", "stores", "targets", "users"])
def test_what_is_not_found_offers_the_list_of_all(console: Console, room: str) -> None:
    nothing = f"/{room}/00000000-0000-0000-0000-000000000000"
    page = console.get(f"{nothing}/edit" if room == "schedules" else nothing)

    assert (page.status, page.links[f"All {room}"]) == (404, f"/{room}")
    assert console.get(f"/{room}").status == 200


def test_a_page_of_no_room_offers_no_list(console: Console) -> None:
    assert not [name for name in console.get("/nowhere/x").links if name.startswith("All ")]


@pytest.mark.parametrize("path", ["/api/nowhere", ME, STATS, "/api/v1/backups/x"])
def test_what_the_api_answers_is_never_a_page(console: Console, path: str) -> None:
    answer = console.another_browser().client.get(path)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"]["code"].startswith("ERR_")


def test_programs_are_answered_in_json_everywhere(browser: Console) -> None:
    answer = browser.client.get("/nowhere", headers={"Accept": "*/*"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_NOT_FOUND")


def test_where_the_database_is_away_a_page_says_so_and_what_to_do(fresh_console: Console) -> None:
    file = fresh_console.database.file
    assert file is not None
    fresh_console.database.close()
    for part in file.parent.glob(f"{file.name}*"):
        part.rename(part.with_name(f"away-{part.name}"))
    file.mkdir()

    pages = [fresh_console.get("/"), fresh_console.send("/sign-in", email=EMAIL, password=PASSWORD)]

    for page in pages:
        assert (page.status, page.heading) == (503, "Not available")
        assert "See hhh doctor." in page.text
    assert fresh_console.client.get(ME).headers["Content-Type"] == "application/json"


def test_while_migrations_are_pending_every_page_says_what_to_run(fresh_console: Console) -> None:
    app = fresh_console.client.app
    assert isinstance(app, FastAPI)
    with fresh_console.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    app.state.migrations_pending = True

    pages = [fresh_console.get(path) for path in ("/", "/sign-in", "/nowhere")]
    pages.append(fresh_console.another_browser().get("/sign-in"))
    answer = fresh_console.client.get(ME)

    assert [page.status for page in pages] == [503, 503, 404, 503]
    assert all("Run hhh migrate." in page.text for page in pages if page.status == 503)
    assert answer.json()["error"]["code"] == "ERR_MIGRATIONS_PENDING"
    with fresh_console.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": migrations.HEAD})
    assert fresh_console.get("/").status == 200
