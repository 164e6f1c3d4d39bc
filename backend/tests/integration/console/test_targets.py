"""The rooms of targets: listed, made with a tested connection, shown, changed, removed. No password is on any page."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

import pytest

from hhh.repositories.targets import active_kinds
from support.console import Console, Value, a_console
from support.pages import Seen
from support.postgres_server import PostgresServer
from support.session import current_session
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

SECRET = "s3cret/p@ss:w%41rd? #&+'\"<b>"
STORES: dict[str, Value] = {"storages": ["default"]}
LONG = "a-very-long-name-of-a-database-that-fills-all-of-its-63-letters"


@pytest.fixture(scope="module")
def console(any_postgres: PostgresServer) -> Iterator[Console]:
    """One that finds the programs of the server."""
    with a_console(current_session().new_folder("console"), pg_bin_dir=any_postgres.bin_dir) as made:
        yield made


@pytest.fixture
def typed(any_postgres: PostgresServer, console: Console) -> Iterator[Mapping[str, str]]:
    """A database of PostgreSQL as it is typed into the form, whose role has a peculiar password and name."""
    database, role = any_postgres.create_database("shop /?#%41é"), 'r"ole @:/'
    any_postgres.execute(f"""CREATE ROLE "r""ole @:/" LOGIN SUPERUSER PASSWORD '{SECRET.replace("'", "''")}'""")
    console.secrets |= {SECRET, quote(SECRET, safe="")}
    yield {
        "engine": "postgresql",
        "host": any_postgres.host,
        "port": str(any_postgres.port),
        "database": database,
        "user": role,
        "password": SECRET,
    }
    any_postgres.drop_database(database)
    any_postgres.execute('DROP ROLE "r""ole @:/"')


def add(console: Console, name: str, button: str = "Test and save", **fields: Value) -> Seen:
    """What the form of a new target leads to."""
    page = console.get("/new-target")
    form = page.form(button)
    return console.send(
        form.action, {**form.fields, "name": name, "do": form.buttons[button][1], **fields}, follow=True
    )


def is_busy(console: Console, target: str) -> bool:
    """Whether a job waits or runs for a target."""
    with console.database.snapshot() as session:
        return bool(active_kinds(session, target))


def test_without_any_other_database_the_list_says_what_to_do(fresh_console: Console) -> None:
    page = fresh_console.get("/targets")

    assert [row["Database"].split()[0] for row in page.rows()] == ["app"]
    assert "Only the service's own database is here" in page.text
    assert page.links["Add a database"] == "/new-target"


def test_a_database_is_registered_once_its_connection_was_tried(console: Console, typed: Mapping[str, str]) -> None:
    page = add(console, "tried", **typed)

    assert page.heading == "tried", page.notices
    assert page.notices[0].startswith("The database is registered.")
    assert "***@" in page.facts["Address"]
    assert console.services.targets.test("tried").ok
    tested = console.press(page, "Test")
    assert tested.notices[0].startswith("It can be opened: PostgreSQL ")


def test_a_wrong_password_is_told_and_nothing_is_saved(console: Console, typed: Mapping[str, str]) -> None:
    console.secrets.add("a wrong one")

    page = add(console, "wrong", **{**typed, "password": "a wrong one"})

    assert page.status == 422
    assert "could not be opened, and nothing was saved" in page.notices[0]
    assert "password authentication failed" in page.notices[0]
    form = page.form("Test and save")
    assert (form.fields["host"], form.fields["database"]) == ([typed["host"]], [typed["database"]])
    assert form.fields["password"] == [""]
    assert "wrong" not in console.services.targets.names()

    saved = console.press(page, "Save without a test", password="a wrong one")
    assert saved.heading == "wrong"
    tested = console.press(saved, "Test")
    assert "It can't be opened" in tested.notices[0]


def test_an_edit_without_a_password_keeps_it(console: Console, typed: Mapping[str, str]) -> None:
    add(console, "edited", **typed)
    page = console.get("/targets/edited/edit")
    assert page.form("Test and save").fields["password"] == [""]
    assert page.form("Test and save").fields["user"] == [typed["user"]]

    changed = console.press(page, "Test and save", retries="5", time_limit_minutes="1,5", backed_up_within_hours="26")

    assert changed.notices[0] == "The database is changed."
    policy = console.services.policies.of("edited")
    assert (policy.retries, policy.time_limit_seconds, policy.proof.backed_up_within_hours) == (5, 90, 26)
    assert console.services.targets.test("edited").ok


def test_a_known_password_goes_to_no_other_server(console: Console, typed: Mapping[str, str]) -> None:
    add(console, "kept", **typed)

    for button in ("Test and save", "Save without a test"):
        page = console.press(console.get("/targets/kept/edit"), button, host="evil.example.com")
        assert page.status == 422
        assert "password is missing" in page.notices[0]
        assert page.form(button).fields["host"] == ["evil.example.com"]


def test_a_url_with_further_parameters_is_typed_as_a_whole_and_comes_back_without_its_password(
    console: Console, typed: Mapping[str, str], any_postgres: PostgresServer
) -> None:
    url = any_postgres.url(user=typed["user"], password=SECRET) + "?application_name=hhh&connect_timeout=5"

    page = add(console, "whole", engine="url", url=url)

    assert page.heading == "whole"
    form = console.get("/targets/whole/edit").form("Test and save")
    assert form.fields["engine"] == ["url"]
    assert form.fields["url"][0].endswith("application_name=hhh&connect_timeout=5")
    wrong = add(console, "no name", engine="url", url=url)
    assert wrong.status == 422
    assert wrong.form("Test and save").fields["url"][0].startswith("postgresql://r%22ole%20%40%3A%2F@")


def test_a_url_that_nobody_understands_is_not_drawn_again(console: Console) -> None:
    console.secrets.add("hunter2")
    page = add(console, "odd", engine="url", url="postgresql://user:hunter2@[::1/db?x")

    assert page.status == 422
    assert page.form("Test and save").fields["url"] == [""]


def test_a_password_can_be_taken_away(console: Console, typed: Mapping[str, str]) -> None:
    add(console, "open", "Save without a test", **typed)

    page = console.press(console.get("/targets/open/edit"), "Save without a test", no_password="yes", user="reader")

    assert page.notices[0] == "The database is changed."
    assert console.services.targets.find("open").url.startswith("postgresql://reader@")


def test_a_file_of_sqlite_is_registered_by_its_path(console: Console) -> None:
    file = console.folder / "a file?#%41 é.db"
    make_sqlite_database(file, megabytes=0.02)

    page = add(console, "file", engine="sqlite", path=str(file))

    assert page.heading == "file"
    assert console.get("/targets/file/edit").form("Test and save").fields["path"] == [str(file)]
    taken = console.press(page, "Back up now", follow=False)
    assert taken.location.startswith("/backups/")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"engine": "sqlite", "path": ""}, {"path": "This is needed"}),
        ({"engine": "sqlite", "path": "relative.db"}, {"path": "Begin with /"}),
        ({"engine": "postgresql"}, {"host": "This is needed"}),
        ({"engine": "postgresql", "host": "h"}, {"database": "This is needed"}),
        ({"engine": "postgresql", "host": "h", "database": "d", "port": "x"}, {"port": "This is not a number"}),
        ({"engine": "postgresql", "host": "h", "database": "d", "port": "9" * 5000}, {"port": "This is not a number"}),
        ({"engine": "url"}, {"url": "This is needed"}),
        ({"retries": "-1"}, {"retries": "It has to be at least 0"}),
        ({"retries": "many"}, {"retries": "This is not a whole number"}),
        ({"retries": "9" * 5000}, {"retries": ""}),
        ({"minimum_copies": "17"}, {"minimum_copies": "It may be at most 16"}),
        ({"time_limit_minutes": "nan"}, {"time_limit_minutes": "This is not a number of minutes"}),
        ({"time_limit_minutes": "1e400"}, {"time_limit_minutes": "This is not a number of minutes"}),
        ({"proven_within_days": "0"}, {"proven_within_days": "It has to be at least 1"}),
        ({"storages": []}, {"storages": "Tick at least one store"}),
        ({"assertions": "select '\0';"}, {"assertions": "an assertion has a NUL"}),
    ],
)
def test_what_can_not_be_used_is_told_beside_its_field(
    console: Console, fields: Mapping[str, Value], wrong: Mapping[str, str]
) -> None:
    good: Mapping[str, Value] = {"engine": "sqlite", "path": "/srv/x.db", "storages": ["default"], "retries": "2"}

    page = console.send("/new-target", {"name": "bad", "do": "save", **good, **fields})

    assert page.status == 422
    [(field, said)] = wrong.items()
    assert said in (page.wrong.get(field) or page.text)
    assert "bad" not in console.services.targets.names()


@pytest.mark.parametrize("name", ["", "Upper", "-x", "a/b", "..", "x" * 64, "<script>alert(1)</script>", "a\0b", "é"])
def test_what_is_no_name_is_refused_and_stands_harmless_on_the_page(console: Console, name: str) -> None:
    page = console.send("/new-target", {"name": name, "do": "test", "engine": "sqlite", "path": "x.db"} | STORES)

    assert (page.status, page.wrong["name"].partition(". ")[0]) == (422, "This can't be its name")
    assert page.wrong["path"].startswith("Begin with /")
    assert "<script>alert" not in page.html


@pytest.mark.parametrize("path", ["", "/edit", "/remove"])
@pytest.mark.parametrize("name", ["nobody", "%00", "%3Cscript%3E", "x" * 70])
def test_a_database_that_is_not_there_is_not_found(console: Console, name: str, path: str) -> None:
    assert console.get(f"/targets/{name}{path}").status == 404
    if path:
        assert console.send(f"/targets/{name}{path}", name=name).status == 404


def test_a_name_that_is_taken_is_told(console: Console) -> None:
    page = console.send("/new-target", {"name": "app", "do": "save", "engine": "sqlite", "path": "/x.db"} | STORES)

    assert page.status == 422
    assert "A target named 'app' exists already" in page.notices[0]


def test_the_policy_is_set_with_all_that_the_api_knows(console: Console, typed: Mapping[str, str]) -> None:
    console.services.stores.add("second", f"file://{console.folder}/second")
    add(console, "server", **typed)

    page = add(
        console,
        "strict",
        **typed,
        storages=["default", "second"],
        minimum_copies="1",
        verify_after_backup="proven",
        fingerprint="full",
        drill_target="server",
        trusted="yes",
        proven_within_days="7",
        assertions="SELECT true;\n-- nothing\nSELECT 1\n  = 1;\n",
    )

    policy = console.services.policies.of("strict")
    assert (policy.stores, policy.minimum_copies) == (("default", "second"), 1)
    assert policy.proof.model_dump() == {
        "verify_after_backup": "proven",
        "fingerprint": "full",
        "assertions": ["SELECT true", "-- nothing\nSELECT 1\n  = 1"],
        "drill_target": "server",
        "drill_acknowledge": ["superuser_objects"],
        "proven_within_days": 7,
        "backed_up_within_hours": None,
    }
    assert page.facts["Drills"] == "on the server of server, in spite of superuser_objects"
    unchanged = console.press(console.get("/targets/strict/edit"), "Save without a test")
    assert unchanged.notices[0] == "The database is changed."
    assert console.services.policies.of("strict") == policy
    cleared = console.press(
        console.get("/targets/strict/edit"), "Save without a test", trusted=[], assertions="", minimum_copies=""
    )
    assert cleared.facts["Assertions"] == "none"
    assert console.services.policies.of("strict").proof.drill_acknowledge == []


def test_what_is_kept_stays_as_it_is_where_the_rest_is_changed(console: Console) -> None:
    console.add_target("keeping", retention={"daily": 7})

    console.press(console.get("/targets/keeping/edit"), "Test and save", retries="1")

    policy = console.services.policies.of("keeping")
    assert policy.retention is not None
    assert (policy.retries, policy.retention.daily) == (1, 7)


def test_of_the_own_database_only_the_policy_can_be_another(console: Console) -> None:
    page = console.get("/targets/app/edit")
    assert "engine" not in page.form("Test and save").fields

    refused = console.send("/targets/app/edit", {"do": "save", "engine": "sqlite", "path": "/x.db"} | STORES)
    changed = console.press(page, "Test and save", retries="3")

    assert "its URL can't be changed" in refused.notices[0]
    assert changed.notices[0] == "The database is changed."
    assert console.get("/targets/app/remove").status == 422
    assert console.send("/targets/app/remove", name="app").status == 422


def test_a_database_is_removed_by_its_name_and_what_went_with_it_is_told(console: Console) -> None:
    console.add_target("gone")
    console.back_up("gone")
    schedule = {"target": "gone", "cron": "15 3 * * 1", "time_zone": "Europe/Berlin"}
    console.client.post("/api/v1/schedules", json=schedule, headers=console.token).raise_for_status()
    asked = console.get("/targets/gone/remove")
    assert "15 3 * * 1 Europe/Berlin" in asked.text

    wrong = console.press(asked, "Remove gone", name="other")
    removed = console.press(asked, "Remove gone", name="gone")

    assert (wrong.status, "This is not its name" in wrong.wrong["name"]) == (422, True)
    assert removed.heading == "gone is removed"
    assert "1 backup of it stay" in removed.text
    assert "15 3 * * 1 Europe/Berlin" in removed.text
    assert console.get("/targets/gone").status == 404


def test_a_page_tells_whether_it_can_be_got_back_and_has_its_newest_proven(console: Console) -> None:
    console.add_target("proving")
    page = console.get("/targets/proving")
    assert "It was never backed up" in page.text
    backup_id = console.back_up("proving")

    page = console.get("/targets/proving")
    asked = console.press(page, "Prove the newest backup", follow=False)

    assert page.links[page.rows("Newest backups")[0]["Backup"]] == f"/backups/{backup_id}"
    verification_id = asked.location.partition("?")[0].rpartition("/")[2]
    ended = console.ended(f"/api/v1/verifications/{verification_id}")
    assert (ended["backup_id"], ended["level"], ended["status"]) == (backup_id, "proven", "success")
    assert console.get("/targets/proving").facts["Last proven"].startswith("just now")


def test_copies_for_a_store_that_was_added_later_are_made_and_those_that_are_missing_made_again(
    console: Console,
) -> None:
    console.services.stores.add("other", f"file://{console.folder}/other")
    console.add_target("lacking")
    backup_id = console.back_up("lacking")
    console.press(console.get("/targets/lacking/edit"), "Save without a test", storages=["default", "other"])
    (console.folder / "other").rename(console.folder / "away")

    asked = console.press(console.get("/targets/lacking"), "Copy them now")
    wait_until(lambda: not is_busy(console, "lacking"), seconds=30, what="the end of the first try")
    page = console.get("/targets/lacking")
    stores = {row["Store"].split()[0]: row for row in console.get("/stores").rows()}
    (console.folder / "away").rename(console.folder / "other")
    console.press(page, "Make them again")

    assert asked.notices[0].startswith("The missing copies are being made again")
    assert "1 copy of its backups is missing in a store" in page.notices[0]
    assert stores["other"]["State"] == "1 copy missing"
    there = console.services.catalogue.get
    wait_until(lambda: {each.status for each in there(backup_id).copies} == {"stored"}, seconds=30, what="the copy")


def test_a_database_whose_secret_is_lost_says_so_everywhere_and_is_typed_again(console: Console) -> None:
    file = console.add_target("sealed")
    with console.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE targets SET sealed_url = 'AAAA' WHERE name = 'sealed'")

    rows = {row["Database"].split()[0]: row for row in console.get("/targets?search=sealed").rows()}
    page = console.get("/targets/sealed")
    form = console.get("/targets/sealed/edit")
    edited = console.press(form, "Test and save", engine="sqlite", path=str(file))

    assert rows["sealed"]["Database"] == "sealed sqlite, at an address that can't be opened"
    assert rows["sealed"]["Recoverable"] == "can't be opened"
    assert "Its address can't be opened" in form.notices[0]
    assert "Its address can't be opened" in page.notices[0]
    assert edited.notices == ["The database is changed."]


def test_of_many_databases_a_page_shows_fifty_and_the_search_finds_each(fresh_console: Console) -> None:
    for number in range(120):
        fresh_console.services.targets.add(f"db-{number:03}", "postgresql://db.example.com/x")
    fresh_console.services.targets.add(LONG, "postgresql://db.example.com/x")

    first = fresh_console.get("/targets")
    second = fresh_console.get(first.links["Next"])
    last = fresh_console.get(second.links["Next"])
    found = fresh_console.get("/targets?search=B-11")

    assert [len(page.rows()) for page in (first, second, last)] == [50, 50, 22]
    assert "Page 3 of 3, 122 databases" in last.text
    assert "Next" not in last.links
    assert [row["Database"].split()[0] for row in found.rows()] == [f"db-11{digit}" for digit in range(10)]
    assert "No database is named like that" in fresh_console.get("/targets?search=%3Cnothing").text
    assert fresh_console.get("/targets?page=99").status == 200
    assert fresh_console.get(f"/targets/{LONG}").heading == LONG
