"""Restores of a PostgreSQL database in the console: beside it, in its place, some tables, and one that is cancelled."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.console import Console, a_console
from support.held_restores import HeldRestores
from support.pages import Seen
from support.postgres import PostgresServer
from support.shops import PostgresqlShop, postgresql_shop

__all__ = ["postgresql_shop"]

pytestmark = pytest.mark.postgres

CHECK = "Check it (dry run)"


@pytest.fixture
def gate(tmp_path: Path, any_postgres: PostgresServer) -> HeldRestores:
    """What fills databases waits there."""
    return HeldRestores(tmp_path, any_postgres)


@pytest.fixture
def at_the_shop(tmp_path: Path, gate: HeldRestores, postgresql_shop: PostgresqlShop) -> Iterator[Console]:
    """The console of a service that has a backup of the shop."""
    with a_console(tmp_path, pg_bin_dir=gate.bin_dir) as console:
        target = {"name": "shop", "url": postgresql_shop.url}
        console.client.post("/api/v1/targets", json=target, headers=console.token).raise_for_status()
        console.secrets.add(postgresql_shop.server.password)
        console.back_up("shop")
        yield console


def ended(console: Console, answer: Seen) -> Seen:
    """The page of a restore that was asked for, once it has ended."""
    path = answer.location.partition("?")[0]
    console.ended(f"/api/v1{path}")
    return console.get(path)


def checked(console: Console, page: Seen, **chosen: str) -> Seen:
    """The page of the dry run that a form asks for."""
    dry = ended(console, console.press(page, CHECK, follow=False, **chosen))
    assert dry.heading == "Dry run of shop", dry
    return dry


def test_a_database_is_restored_beside_itself_in_its_place_and_taken_back(
    at_the_shop: Console, postgresql_shop: PostgresqlShop, gate: HeldRestores
) -> None:
    gate.let_go()
    then = postgresql_shop.rows()
    postgresql_shop.change()
    changed = postgresql_shop.rows()
    page = at_the_shop.get("/restores/new?target=shop")
    assert page.form(CHECK).fields["new_name"][0].startswith(f"{postgresql_shop.name}_restored_")

    beside = checked(at_the_shop, page, new_name=postgresql_shop.elsewhere)
    done = ended(at_the_shop, at_the_shop.press(beside, "Restore now", follow=False))
    assert postgresql_shop.rows(postgresql_shop.elsewhere) == then
    assert "nothing differs" in done.text
    assert f"dbname={postgresql_shop.elsewhere}" in done.text

    in_place = checked(at_the_shop, page, mode="replace")
    replaced = ended(at_the_shop, at_the_shop.press(in_place, "Replace it now", confirm="shop", follow=False))
    assert postgresql_shop.rows() == then
    before = at_the_shop.get(replaced.links["Undo…"])
    undone = ended(at_the_shop, at_the_shop.press(before, "Undo it", follow=False))
    assert (undone.heading, postgresql_shop.rows()) == ("Undo of shop", changed)


def test_some_tables_are_ticked_in_the_list_of_the_backup(
    at_the_shop: Console, postgresql_shop: PostgresqlShop, gate: HeldRestores
) -> None:
    gate.let_go()
    page = at_the_shop.get("/restores/new?target=shop")
    asked = at_the_shop.send("/restores/new/tables", page.form(CHECK).fields)
    listed = at_the_shop.get(asked.location.partition("#")[0])
    assert "public.customers" in listed.form(CHECK).choices["table"]
    assert listed.form(CHECK).fields["mode"] == ["tables"]

    dry = checked(at_the_shop, listed, table="public.customers", tables_name=postgresql_shop.elsewhere)
    done = ended(at_the_shop, at_the_shop.press(dry, "Restore now", follow=False))

    assert (done.facts["Only"], done.facts["Tables"]) == ("public.customers", "1 in the backup, 1 restored")
    assert postgresql_shop.rows(postgresql_shop.elsewhere) == postgresql_shop.rows()


def test_one_that_runs_is_followed_and_cancelled_and_leaves_nothing(
    at_the_shop: Console, postgresql_shop: PostgresqlShop, gate: HeldRestores
) -> None:
    names, rows = postgresql_shop.names(), postgresql_shop.rows()
    dry = checked(at_the_shop, at_the_shop.get("/restores/new?target=shop"), mode="replace")
    asked = at_the_shop.press(dry, "Replace it now", confirm="shop", follow=False)
    gate.wait_until_held()

    running = at_the_shop.get(asked.location)
    [box] = running.main.where(lambda each: "data-follow" in each.attributes)
    assert box.get("data-follow") == f"/api/v1{asked.location.partition('?')[0]}/events"
    assert "signature" in {row["Check"] for row in running.rows("Checks")}
    twice = at_the_shop.press(dry, "Replace it now", confirm="shop", follow=False)
    assert (twice.status, "in progress" in twice.text) == (409, True)

    told = at_the_shop.press(running, "Cancel")
    assert any("asked to stop" in notice for notice in told.notices)
    cancelled = ended(at_the_shop, asked)
    gate.let_go()

    assert "It was cancelled. What was there before is as it was" in cancelled.text
    assert (postgresql_shop.names(), postgresql_shop.rows()) == (names, rows)
