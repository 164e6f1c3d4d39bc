"""The first steps: each with its state, told by what is there."""

from pathlib import Path

import pyrage
import pytest

from support.console import Console, a_console
from support.pages import Seen
from support.session import open_temp_dir

STEPS = "/first-steps"


def states(page: Seen) -> list[str]:
    """Of the five steps, in their order."""
    heads = page.main.where(lambda each: each.get("class") == "head")
    return [head.text.removeprefix(head.one("h2").text).strip() for head in heads]


def section(page: Seen, number: int) -> str:
    [found] = page.main.where(lambda each: each.get("aria-labelledby") == f"step-{number}")
    return found.text


def followed(page: Seen) -> list[str]:
    """The jobs whose progress the page shows."""
    return [each.get("data-follow") for each in page.main.where(lambda each: "data-follow" in each.attributes)]


def after(console: Console, page: Seen) -> Seen:
    """The steps once the one job that the page follows has ended."""
    [events] = followed(page)
    console.ended(events.removesuffix("/events"))
    return console.get(STEPS)


def identity_on(page: Seen) -> str:
    [shown] = page.main.where(lambda each: each.get("id") == "identity")
    return shown.text


def new_identity(folder: Path) -> tuple[str, Path]:
    """A recipient, and the file with its private half."""
    identity = pyrage.x25519.Identity.generate()
    file = folder / "age-identity.txt"
    file.write_text(f"{identity}\n")
    return str(identity.to_public()), file


def test_a_new_service_has_everything_before_it_and_may_go_without_encryption(fresh_console: Console) -> None:
    page = fresh_console.get(STEPS)

    assert page.heading == "First steps"
    assert states(page) == ["To do", "To do", "Your choice", "To do", "To do"]
    assert "4 steps are left" in page.text
    assert "whoever can read the store can read your data" in section(page, 3)
    assert page.links["Add a database"] == "/new-target"
    assert page.links["Add a store"] == "/new-store"


def test_from_nothing_to_a_proof_and_a_schedule(fresh_console: Console) -> None:
    fresh_console.add_target("shop")
    assert states(fresh_console.get(STEPS))[0] == "Done"

    page = fresh_console.press(fresh_console.get(STEPS), "Take a backup")
    assert page.notices[0] == "The backup was asked for. This page follows it."
    assert "Of shop;" in section(page, 4)

    page = after(fresh_console, page)
    assert states(page) == ["Done", "Done", "Your choice", "Done", "To do"]

    page = fresh_console.press(page, "Prove it")
    assert page.notices[0] == "The verification was asked for. This page follows it."

    page = after(fresh_console, page)
    assert "A backup of shop was restored and compared" in section(page, 5)
    assert page.links["the proof"].startswith("/drills/")
    assert page.links["Set up a schedule"] == "/schedules/new?target=shop"
    assert states(page)[4] == "To do"

    schedule = {"target": "shop", "cron": "0 3 * * *"}
    fresh_console.client.post("/api/v1/schedules", json=schedule, headers=fresh_console.token).raise_for_status()
    page = fresh_console.get(STEPS)
    assert states(page) == ["Done", "Done", "Your choice", "Done", "Done"]
    assert page.notices[0].startswith("All is set up")
    assert "They are not encrypted." in page.notices[0]
    assert page.links["Go to the overview"] == "/"


# ------------------------------------------------------------------------------------- databases and stores


def test_a_database_that_opens_says_what_it_is(fresh_console: Console) -> None:
    page = fresh_console.press(fresh_console.get(STEPS), "Test app", follow=False)

    assert (page.status, states(page)[0]) == (200, "Done")
    assert "app is found: SQLite" in section(page, 1)


def test_a_database_that_does_not_open_says_why_and_where_to_mend_it(console: Console) -> None:
    console.add_target("lost").unlink()

    page = console.press(console.get(STEPS), "Test lost", follow=False)

    assert states(page)[0] == "In your way"
    assert "lost was not found:" in section(page, 1)
    assert page.links["on its page"] == "/targets/lost/edit"


def test_of_many_databases_some_are_shown(fresh_console: Console) -> None:
    for number in range(10):
        fresh_console.services.targets.add(f"db-{number}", f"sqlite:////nowhere/{number}.db")

    page = fresh_console.get(STEPS)

    assert len(page.rows("Databases that are known")) == 8
    assert page.links["3 more"] == "/targets"


@pytest.mark.parametrize(("step", "name"), [("database", "target"), ("store", "store"), ("backup", "target")])
@pytest.mark.parametrize("value", ["nobody", "", "a\0b", "../x"])
def test_what_is_not_known_is_not_found(console: Console, step: str, name: str, value: str) -> None:
    assert console.send(f"{STEPS}/{step}", {name: value}).status == 404


def test_a_store_that_does_all_it_has_to_says_so(fresh_console: Console) -> None:
    page = fresh_console.press(fresh_console.get(STEPS), "Test default", follow=False)

    assert states(page)[1] == "Done"
    assert "default does all it has to: write, read back" in section(page, 2)


def test_a_store_that_can_not_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    with a_console(tmp_path, storage_url=f"file://{tmp_path}/a%20file/store") as console:
        page = console.press(console.get(STEPS), "Test default", follow=False)

    assert states(page)[1] == "In your way"
    assert "default can't be used:" in section(page, 2)


def test_one_disk_for_databases_and_backups_is_warned_of_until_a_store_is_elsewhere(fresh_console: Console) -> None:
    warning = "All backups go to the disk that a database is on."
    assert warning in section(fresh_console.get(STEPS), 2)

    fresh_console.services.stores.add("beside", f"file://{fresh_console.folder}/beside")
    assert warning in section(fresh_console.get(STEPS), 2)

    fresh_console.services.stores.add("bucket", "s3://bucket/prefix", {"region": "eu-west-1"})
    assert warning not in section(fresh_console.get(STEPS), 2)


def test_a_folder_on_another_disk_is_not_warned_of(tmp_path: Path) -> None:
    others = (other for other in (Path("/dev/shm"), open_temp_dir()) if other.is_dir())
    if (other := next((other for other in others if other.stat().st_dev != tmp_path.stat().st_dev), None)) is None:
        pytest.skip("there is no other disk")
    with a_console(tmp_path, storage_url=f"file://{other}/hhh-nothing-is-made-here") as console:
        assert "the disk that a database is on" not in section(console.get(STEPS), 2)


# ------------------------------------------------------------------------------------------------------ key


def test_a_key_is_shown_once_and_each_time_another(console: Console) -> None:
    first = console.press(console.get(STEPS), "Make a key", follow=False)
    second = console.press(console.get(STEPS), "Make a key", follow=False)

    identity = pyrage.x25519.Identity.from_str(identity_on(first))
    assert first.status == 200
    assert f"HHH_AGE_RECIPIENTS={identity.to_public()}" in first.text
    assert "HHH_AGE_IDENTITY_FILE=" in first.text
    assert identity_on(second) != identity_on(first)
    assert identity_on(first) not in console.get(STEPS).html


def test_no_cache_and_no_log_has_the_key(console: Console, capfd: pytest.CaptureFixture[str]) -> None:
    answer = console.client.post(f"{STEPS}/key", data={"csrf_token": console.csrf_token})
    identity = identity_on(Seen(answer.status_code, answer.text))
    console.send(f"{STEPS}/key/file", identity=identity)
    console.send(f"{STEPS}/key/saved", identity=identity, saved="yes")
    console.send(f"{STEPS}/key/saved", identity=identity[:-1] + "X", saved="yes")

    logged = capfd.readouterr()
    assert answer.headers["Cache-Control"] == "no-store"
    assert f"path={STEPS}/key/saved" in logged.out + logged.err
    assert identity[:40] not in logged.out + logged.err


def test_the_key_comes_as_the_file_that_the_setting_names(console: Console, tmp_path: Path) -> None:
    page = console.press(console.get(STEPS), "Make a key", follow=False)
    form = page.form("Save as a file")

    answer = console.client.post(form.action, data={**form.fields, "csrf_token": console.csrf_token})

    assert answer.headers["Content-Disposition"] == 'attachment; filename="age-identity.txt"'
    assert answer.headers["Cache-Control"] == "no-store"
    sealed = pyrage.encrypt(b"data", [pyrage.x25519.Identity.from_str(identity_on(page)).to_public()])
    [line] = [each for each in answer.text.splitlines() if not each.startswith("#")]
    assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(line)]) == b"data"


def test_nobody_goes_on_before_they_say_that_it_is_saved(console: Console) -> None:
    page = console.press(console.get(STEPS), "Make a key", follow=False)

    again = console.press(page, "Go on", follow=False)

    assert again.status == 422
    assert "Save it first" in again.text
    assert identity_on(again) == identity_on(page)


def test_only_the_public_half_goes_along_to_the_steps(console: Console) -> None:
    page = console.press(console.get(STEPS), "Make a key", follow=False)
    identity = identity_on(page)

    answer = console.press(page, "Go on", follow=False, saved="yes")
    steps = console.get(answer.location)

    recipient = str(pyrage.x25519.Identity.from_str(identity).to_public())
    assert identity not in answer.location
    assert states(steps)[2] == "To do"
    assert f"HHH_AGE_RECIPIENTS={recipient}" in section(steps, 3)
    assert identity not in steps.html


@pytest.mark.parametrize("identity", ["", "x", "AGE-SECRET-KEY-1XXX", "\0", "# a\n# b"])
@pytest.mark.parametrize("what", ["file", "saved"])
def test_what_is_no_key_is_refused(console: Console, what: str, identity: str) -> None:
    answer = console.send(f"{STEPS}/key/{what}", identity=identity, saved="yes")

    assert (answer.status, answer.heading) == (422, "That can't be used")
    assert "no age identity" in answer.text


@pytest.mark.parametrize("made", ["x", "age1xxx", "AGE-SECRET-KEY-1XXX", "%00", "<b>"])
def test_an_address_with_something_else_than_a_public_half_is_ignored(console: Console, made: str) -> None:
    page = console.get(f"{STEPS}?made={made}")

    assert states(page)[2] == "Your choice"
    assert "HHH_AGE_RECIPIENTS" not in section(page, 3)


@pytest.mark.parametrize("path", ["/key", "/key/saved", "/database", "/backup"])
def test_what_a_form_was_answered_with_is_not_shown_again_by_its_address(console: Console, path: str) -> None:
    assert console.get(STEPS + path).location == STEPS


def test_with_recipients_it_is_done_and_with_the_identity_backups_can_be_proven_here(tmp_path: Path) -> None:
    recipient, file = new_identity(tmp_path)
    with a_console(tmp_path, age_recipients=recipient, age_identity_file=file) as console:
        page = console.get(STEPS)
        assert states(page)[2] == "Done"
        assert recipient in section(page, 3)
        assert "this machine can restore and prove" in section(page, 3)

        console.back_up()
        page = after(console, console.press(console.get(STEPS), "Prove it"))

        assert "was restored and compared" in section(page, 5)


def test_without_the_identity_an_encrypted_backup_can_not_be_proven_here(tmp_path: Path) -> None:
    recipient, _ = new_identity(tmp_path)
    with a_console(tmp_path, age_recipients=recipient) as console:
        console.back_up()
        page = console.get(STEPS)

    assert "The private half is not known here." in section(page, 3)
    assert states(page)[4] == "In your way"
    assert "Name its file in HHH_AGE_IDENTITY_FILE" in section(page, 5)
    assert not [form for form in page.forms if form.action == f"{STEPS}/proof"]


def test_another_key_is_added_to_those_that_are_set(tmp_path: Path) -> None:
    recipient, _ = new_identity(tmp_path)
    with a_console(tmp_path, age_recipients=recipient) as console:
        page = console.send(f"{STEPS}/key")
        steps = console.press(page, "Go on", saved="yes")

    another = str(pyrage.x25519.Identity.from_str(identity_on(page)).to_public())
    assert f"HHH_AGE_RECIPIENTS={recipient},{another}" in page.text
    assert f"HHH_AGE_RECIPIENTS={recipient},{another}" in steps.text


def test_an_identity_file_that_can_not_be_read_is_in_the_way(tmp_path: Path) -> None:
    recipient, file = new_identity(tmp_path)
    with a_console(tmp_path, age_recipients=recipient, age_identity_file=file) as console:
        file.unlink()
        page = console.get(STEPS)

    assert states(page)[2] == "In your way"
    assert "can't be read" in section(page, 3)


# -------------------------------------------------------------------------------------------- backup and proof


def test_a_backup_that_failed_says_why_and_another_can_be_taken(fresh_console: Console) -> None:
    fresh_console.add_target("shop").unlink()

    page = after(fresh_console, fresh_console.press(fresh_console.get(STEPS), "Take a backup"))

    assert states(page)[3] == "In your way"
    assert "The last one, of shop, failed just now:" in section(page, 4)
    assert page.links["Its page"].startswith("/backups/")
    assert page.form("Take a backup").action == f"{STEPS}/backup"


def test_a_proof_that_was_not_found_says_so_and_can_be_tried_again(fresh_console: Console) -> None:
    backup_id = fresh_console.back_up()
    backup = fresh_console.services.catalogue.get(backup_id)
    folder = fresh_console.services.settings.data_dir / "backups"
    [dump] = [folder / copy.key for copy in backup.copies]
    dump.write_bytes(dump.read_bytes()[:-9] + b"something")

    page = after(fresh_console, fresh_console.press(fresh_console.get(STEPS), "Prove it"))

    assert states(page)[4] == "In your way"
    assert "The last try found no proof:" in section(page, 5)
    assert page.links["Its page"].startswith("/drills/")
    assert page.form("Prove it again").fields["backup"] == [backup_id]


@pytest.mark.parametrize("backup", ["", "x", "\0", "00000000-0000-0000-0000-000000000000"])
def test_no_proof_is_asked_for_of_a_backup_that_is_not_there(console: Console, backup: str) -> None:
    assert console.send(f"{STEPS}/proof", backup=backup).status == 404
