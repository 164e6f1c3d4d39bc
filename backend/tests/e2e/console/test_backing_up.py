"""Backups that are taken at the console, and followed live."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from support.browser import Tab, Tabs
from support.held_dumps import HeldDumps
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.session import current_session
from support.waiting import wait_until

pytestmark = pytest.mark.postgres

MEGABYTES = 8  # more than the buffers between a server and a held pg_dump


@pytest.fixture(scope="module")
def dumps(any_postgres: PostgresServer) -> HeldDumps:
    return HeldDumps(current_session().new_folder("dumps"), any_postgres)


@pytest.fixture(scope="module")
def served(any_postgres: PostgresServer, dumps: HeldDumps) -> Iterator[Service]:
    """A service that knows a database `shop`, whose dumps are held in the middle."""
    database = any_postgres.create_database()
    with any_postgres.connect(database) as connection:
        make_realistic_database(connection, megabytes=MEGABYTES)
    with Service(current_session().new_folder("console"), {"pg_bin_dir": dumps.bin_dir}) as running:
        with running.signed_in_client() as client:
            client.post("/api/v1/targets", json={"name": "shop", "url": any_postgres.url(database)}).raise_for_status()
        yield running
    any_postgres.drop_database(database)


@pytest.fixture
def held(served: Service, dumps: HeldDumps) -> Iterator[HeldDumps]:
    """They are held from now on, until the test lets them go or ends."""
    dumps.hold_again()
    yield dumps
    dumps.let_go()
    with served.signed_in_client() as client:
        running = "/api/v1/backups?status=running"
        wait_until(lambda: client.get(running).raise_for_status().json()["items"] == [], seconds=30, what="their end")


def back_up(page: Page) -> None:
    page.goto("/backups")
    page.get_by_label("Database to back up").select_option("shop")
    page.get_by_role("button", name="Back up now").click()
    expect(page.locator(".notice.done")).to_contain_text("The backup was asked for")


def is_under_way(page: Page) -> None:
    following = page.get_by_role("region", name="Progress")
    expect(following.get_by_role("progressbar")).to_be_visible()
    expect(following.locator("[data-status]")).to_contain_text("running")
    expect(following.locator("[data-bytes]")).to_contain_text("B")


def test_progress_is_live_survives_a_reload_and_ends_in_the_backup(tabs: Tabs, held: HeldDumps) -> None:
    tab, other = tabs.open(), tabs.open(bypass_csp=True)
    back_up(tab.page)
    is_under_way(tab.page)
    held.wait_until_held()
    tab.page.reload()
    is_under_way(tab.page)
    other.go(tab.path)
    is_under_way(other.page)
    assert other.axe() == []

    held.let_go()

    for each in (tab, other):
        expect(each.page.get_by_role("region", name="Progress")).to_have_count(0)
        expect(each.page.locator(".state").first).to_contain_text("success")


def test_who_follows_a_backup_is_told_that_the_service_is_away(tab: Tab, held: HeldDumps) -> None:
    back_up(tab.page)
    held.wait_until_held()
    away = tab.page.locator("[data-offline]")
    tab.page.clock.install()
    tab.page.route("**/events", lambda route: route.abort("connectionrefused"))
    with tab.page.expect_event("requestfailed"):
        tab.page.reload()
    expect(away).to_be_hidden()

    tab.page.clock.run_for(16_000)
    expect(away).to_contain_text("The service does not answer since", timeout=15_000)

    tab.page.unroute("**/events")
    expect(away).to_be_hidden(timeout=15_000)
    is_under_way(tab.page)
    assert all("net::ERR_CONNECTION_REFUSED" in problem for problem in tab.problems)
    tab.problems.clear()


def test_a_backup_under_way_is_cancelled(tab: Tab, held: HeldDumps) -> None:
    back_up(tab.page)
    is_under_way(tab.page)
    held.wait_until_held()

    tab.page.get_by_role("button", name="Cancel").click()

    expect(tab.page.locator(".state").first).to_contain_text("cancelled")
    expect(tab.page.get_by_role("region", name="Progress")).to_have_count(0)


def test_a_second_one_of_the_same_database_is_refused_and_leads_to_the_first(tab: Tab, held: HeldDumps) -> None:
    back_up(tab.page)
    held.wait_until_held()
    tab.go("/backups")
    tab.page.get_by_label("Database to back up").select_option("shop")

    tab.page.get_by_role("button", name="Back up now").click()

    expect(tab.page.get_by_role("heading", name="Not now")).to_be_visible()
    tab.page.get_by_role("link", name="Follow the backup").click()
    is_under_way(tab.page)


@pytest.mark.soak
def test_whose_session_ends_while_they_follow_is_led_to_the_sign_in_and_back(tabs: Tabs, held: HeldDumps) -> None:
    tab = tabs.open(signed_in=False)
    tab.go("/backups")
    sign_in(tab.page)
    tab.is_at("/backups")
    back_up(tab.page)
    held.wait_until_held()
    followed = tab.path
    is_under_way(tab.page)
    kept = tab.page.context.cookies()
    elsewhere = tabs.open(signed_in=False)
    elsewhere.page.context.add_cookies(kept)  # type: ignore[arg-type]
    elsewhere.go("/backups")
    elsewhere.page.get_by_role("button", name="Sign out").click()

    tab.is_at("/sign-in")
    assert all(problem.endswith("/events: 401") for problem in tab.problems)
    tab.problems.clear()

    sign_in(tab.page)
    tab.is_at(followed)
    is_under_way(tab.page)


def sign_in(page: Page) -> None:
    page.get_by_label("E-mail").fill(ADMIN_EMAIL)
    page.get_by_label("Password").fill(ADMIN_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
