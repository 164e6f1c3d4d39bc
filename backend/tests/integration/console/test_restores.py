"""Restores in the console: from the recovery point through the dry run to the receipt, and back."""

import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from hhh.core.clock import utcnow
from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus, Restore, Target
from support.console import Console
from support.pages import Seen
from support.restoring import change, content
from support.sqlite_data import make_corrupt

CHECK = "Check it (dry run)"
#: When the newest of the backups of `line` was taken.
NOON = datetime(2025, 3, 30, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def notes(console: Console) -> Path:
    """A file that is backed up as `notes`, once; tests change it and bring it back."""
    file = console.add_target("notes")
    console.back_up("notes")
    return file


@pytest.fixture(scope="module")
def points(console: Console) -> list[str]:
    """The ids of 130 backups of `line`, newest first, an hour apart; the third is proven, the fifth has no copy."""
    console.add_target("line")
    made = [str(uuid.uuid4()) for _ in range(130)]
    with console.database.transaction() as session:
        session.add_all(_stored(backup_id, number) for number, backup_id in enumerate(made))
    return made


def _stored(backup_id: str, number: int) -> BackupLog:
    # In a store that nobody makes it again in.
    store, state = ("gone", CopyStatus.MISSING) if number == 4 else ("default", CopyStatus.STORED)
    taken = NOON - timedelta(hours=number)
    return BackupLog(
        id=backup_id,
        target="line",
        backup_file=backup_id,
        status=BackupStatus.SUCCESS,
        pinned=False,
        created_at=taken,
        finished_at=taken,
        backup_size=10,
        manifest={"engine": "sqlite"},
        verified_level="proven" if number == 2 else None,
        verified_at=taken if number == 2 else None,
        copies=[BackupCopy(storage=store, key="k", status=state, size=10, sha256="0" * 64)],
    )


def ended(console: Console, answer: Seen) -> Seen:
    """The page of a restore that was asked for, once it has ended."""
    assert answer.location.startswith("/restores/"), answer
    path = answer.location.partition("?")[0]
    console.ended(f"/api/v1{path}")
    page = console.get(answer.location)
    assert not [each for each in page.notices if "this page follows it" in each.lower()], "a beginning told at its end"
    return page


def checked(console: Console, **chosen: str) -> Seen:
    """The page of a dry run of the newest backup of `notes`."""
    page = console.get("/restores/new?target=notes")
    return ended(console, console.press(page, CHECK, follow=False, **chosen))


def aged(console: Console, restore_id: str, **times: datetime) -> None:
    """Sets times of a restore's row."""
    with console.database.transaction() as session:
        row = session.get_one(Restore, restore_id)
        for name, value in times.items():
            setattr(row, name, value)


def id_of(page: Seen, action: str) -> str:
    """The id of the restore that a form of a page belongs to."""
    return next(form.action.split("/")[2] for form in page.forms if form.action.endswith(action))


def marked(page: Seen, look: str) -> int:
    """How many recovery points are drawn so."""
    return len(page.main.where(lambda each: each.get("class") == "point" and each.get("data-look") == look))


def test_where_nothing_was_restored_a_rehearsal_is_advised(fresh_console: Console) -> None:
    page = fresh_console.get("/restores")

    assert "Rehearse it before you need it" in page.text
    assert fresh_console.get(page.links["Rehearse a restore"]).heading == "Which database is to be restored?"
    [app] = fresh_console.get("/restores/new").rows()
    assert app["Newest recovery point"] == "there is no backup"
    assert "There is no backup of it to restore" in fresh_console.get("/restores/new?target=app").text


def test_a_backup_is_restored_as_something_new_after_a_dry_run_that_changes_nothing(
    console: Console, notes: Path
) -> None:
    page = console.get("/restores/new?target=notes")
    proposed = page.form(CHECK).fields["new_name"][0]
    assert proposed.startswith(str(notes.with_name("notes_restored_")))

    dry = ended(console, console.press(page, CHECK, follow=False, new_name=str(notes.with_name("copy.db"))))

    assert dry.heading == "Dry run of notes"
    assert "Nothing stands against it" in dry.text
    assert {"signature", "object", "destination"} <= {row["Check"] for row in dry.rows("Checks")}
    assert {row["State"] for row in dry.rows("Checks")} == {"ok"}
    assert not notes.with_name("copy.db").exists()

    done = ended(console, console.press(dry, "Restore now", follow=False))

    assert done.heading == "Restore of notes"
    assert content(notes.with_name("copy.db")) == content(notes)
    assert "nothing differs" in done.text
    assert done.facts["Tables"] == "3 in the backup, 3 restored"
    assert {row["Table"]: row["Rows restored"] for row in done.rows("Tables")}["author"] == "10"
    assert f"sqlite3 {notes.with_name('copy.db')}" in done.text
    assert "Undo…" not in done.links


def test_a_restore_in_place_needs_the_name_and_is_undone_and_that_as_well(console: Console, notes: Path) -> None:
    then = content(notes)
    change(notes)
    changed = content(notes)
    dry = checked(console, mode="replace")
    assert "is kept for 7 days" in dry.text

    wrong = console.press(dry, "Replace it now", confirm="note", follow=False)
    assert (wrong.status, content(notes)) == (422, changed)
    assert wrong.wrong == {"confirm": "That is not its name: notes."}
    assert wrong.form("Replace it now").fields["confirm"] == ["note"]

    done = ended(console, console.press(wrong, "Replace it now", confirm="notes", follow=False))
    assert content(notes) == then
    assert "What was there before is kept as" in done.text

    before = console.get(done.links["Undo…"])
    undone = ended(console, console.press(before, "Undo it", follow=False))
    assert (undone.heading, content(notes)) == ("Undo of notes", changed)
    taken_back = console.get(undone.links["the restore"])
    assert "It was taken back" in taken_back.text
    assert console.get(taken_back.links["this undo"]).heading == "Undo of notes"
    assert "It was undone already" in console.get(f"{undone.links['the restore']}/undo").text
    again = console.send(f"{undone.links['the restore']}/undo")
    assert (again.status, "It was undone already. Nothing was changed." in again.text) == (409, True)

    again = ended(console, console.press(console.get(undone.links["Undo this undo…"]), "Undo it", follow=False))
    assert (again.heading, content(notes)) == ("Undo of notes", then)


def test_what_stands_against_it_has_to_be_acknowledged_and_is_told_at_once(console: Console) -> None:
    file = console.add_target("damaged")
    console.back_up("damaged")
    then = content(file)
    make_corrupt(file)
    page = console.get("/restores/new?target=damaged")
    dry = ended(console, console.press(page, CHECK, follow=False, mode="replace"))
    assert "asks whether you want to go on" in dry.text
    assert dry.rows("Checks")[0]["State"] == "unsafe"

    refused = console.press(dry, "Replace it now", confirm="damaged", follow=False)
    assert refused.status == 409
    assert any("It was not begun, and nothing was changed" in notice for notice in refused.notices)
    assert "The live database is damaged" in refused.rows("Checks")[0]["Says"]

    form = refused.form("Replace it now")
    assert form.choices["acknowledge"] == ["live_integrity"]
    again = console.press(refused, "Replace it now", confirm="damaged", acknowledge="live_integrity", follow=False)
    assert "nothing differs" in ended(console, again).text
    assert content(file) == then


def test_what_can_not_be_helped_by_a_tick_offers_no_restore(console: Console, notes: Path) -> None:
    dry = checked(console, new_name=str(notes))

    assert "can't be restored" in dry.text
    assert f"{notes} exists: choose another name, or move it away" in dry.text
    buttons = {button for form in dry.forms for button in form.buttons}
    assert buttons == {"Check again"}
    refused = console.send(f"/restores/{id_of(dry, '/again')}/restore")
    assert (refused.status, refused.form("Check again").method) == (409, "post")
    assert ended(console, console.press(dry, "Check again", follow=False)).heading == "Dry run of notes"


def test_a_plan_that_is_old_is_to_be_checked_again(console: Console, notes: Path) -> None:
    dry = checked(console)
    restore_id = id_of(dry, "/restore")
    aged(console, restore_id, finished_at=utcnow() - timedelta(hours=2))

    old = console.get(f"/restores/{restore_id}")

    assert any("Check it again first" in notice for notice in old.notices)
    assert not any("Check it again" in notice for notice in dry.notices)
    fresh = ended(console, console.press(old, "Check again", follow=False))
    assert id_of(fresh, "/restore") != restore_id


def test_only_the_record_says_what_is_restored(console: Console, notes: Path) -> None:
    dry = checked(console, new_name=str(notes.with_name("theirs.db")))
    other = str(notes.with_name("other.db"))

    ended(
        console,
        console.send(
            f"/restores/{id_of(dry, '/restore')}/restore", destination=other, mode="replace", target="app", dry_run="1"
        ),
    )

    assert notes.with_name("theirs.db").exists()
    assert not Path(other).exists()


def test_what_is_no_dry_run_can_not_be_restored_from(console: Console, notes: Path) -> None:
    dry = checked(console, new_name=str(notes.with_name("once.db")))
    done = console.press(dry, "Restore now", follow=False)
    ended(console, done)

    path = done.location.partition("?")[0]

    assert console.send(f"{path}/restore").status == 422
    assert console.send(f"{path}/undo").status == 409
    assert "It replaced nothing" in console.get(f"{path}/undo").text
    assert console.send(f"{path}/cancel").status == 409


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"new_name": "/etc/<b>shop.db"}, "Nothing may be restored into that folder"),
        ({"new_name": "../../x.db"}, "not the absolute path of a file"),
        ({"new_name": "/tmp/\u202egnp.exe"}, "holds a control character"),
        ({"new_name": "/tmp/a\0b"}, "holds a control character"),
        ({"destination_target": "app", "mode": "replace", "backup_id": "'; DROP TABLE"}, "No backup has that id"),
        ({"destination_target": "<script>alert(1)</script>"}, "No target is named"),
        ({"mode": "tables", "tables": "a\0b"}, "what is no text"),
    ],
)
def test_what_can_not_be_is_told_on_the_form_which_keeps_what_was_typed(
    console: Console, notes: Path, changed: dict[str, str], said: str
) -> None:
    fields = dict(console.get("/restores/new?target=notes").form(CHECK).fields)

    answer = console.send("/restores/plan", {**fields, **changed})

    assert answer.status in (404, 422)
    assert any(said in notice for notice in answer.notices), answer
    assert "<script>alert" not in answer.html
    if "new_name" in changed and "\0" not in changed["new_name"]:
        assert answer.form(CHECK).fields["new_name"] == [changed["new_name"]]


def test_what_is_missing_on_the_form_is_told_beside_it(console: Console, notes: Path) -> None:
    answer = console.send("/restores/plan", target="notes", mode="sideways", tables="")

    assert answer.status == 422
    for said in ("Choose a recovery point.", "Choose where it goes.", "Choose on whose server."):
        assert said in answer.text
    assert console.send("/restores/plan").status == 404
    assert console.send("/restores/new/tables").status == 422


@pytest.mark.parametrize("path", ["/restores/none", "/restores/none/undo", "/restores/new?backup=%00", "/restores/%00"])
def test_what_is_not_there_is_not_found(console: Console, path: str) -> None:
    assert console.get(path).status == 404


@pytest.mark.parametrize("path", ["/restores?cursor=x", "/restores/new?target=app&cursor=%00"])
def test_a_cursor_of_nobody_is_refused(console: Console, path: str) -> None:
    assert console.get(path).status == 422


def test_the_newest_proven_one_is_chosen(console: Console, points: list[str]) -> None:
    page = console.get("/restores/new?target=line")

    assert page.form(CHECK).fields["backup_id"] == [points[2]]
    assert "2 newer ones are above the chosen one" in page.text
    assert page.form(CHECK).choices["backup_id"] == points[:100]
    assert (marked(page, "proven"), marked(page, "bad")) == (1, 1)


def test_further_ones_are_older_and_the_proven_one_stays_chosen(console: Console, points: list[str]) -> None:
    page = console.get(console.get("/restores/new?target=line").links["Older"])

    assert page.form(CHECK).choices["backup_id"] == [points[2], *points[100:]]
    assert page.form(CHECK).fields["backup_id"] == [points[2]]
    assert "The newest that is proven" in page.text


def test_the_last_one_before_a_time_is_found_in_the_zone_of_whoever_reads(console: Console, points: list[str]) -> None:
    hour = NOON - timedelta(hours=50)
    console.client.cookies.set("hhh_zone", "Asia/Kolkata")
    local = (hour + timedelta(minutes=59)).astimezone(ZoneInfo("Asia/Kolkata"))

    page = console.get(f"/restores/new?target=line&before={local:%Y-%m-%dT%H:%M}")
    console.client.cookies.delete("hhh_zone")

    assert page.form(CHECK).fields["backup_id"] == [points[50]]
    assert "(Asia/Kolkata)" in page.text
    wrong = console.get("/restores/new?target=line&before=2025-13-99")
    assert wrong.wrong == {"before": "That is no date and time."}


def test_one_that_is_named_is_chosen_wherever_it_is(console: Console, points: list[str]) -> None:
    page = console.get(f"/restores/new?backup={points[120]}")

    assert page.form(CHECK).fields["backup_id"] == [points[120]]


def test_a_database_whose_url_can_not_be_opened_is_restored_on_another_server(fresh_console: Console) -> None:
    fresh_console.add_target("sealed")
    backup_id = fresh_console.back_up("sealed")
    with fresh_console.database.transaction() as session:
        session.scalars(select(Target)).one().sealed_url = "of another key"
    page = fresh_console.get(f"/restores/new?backup={backup_id}")

    refused = fresh_console.press(page, CHECK, follow=False, destination_target="sealed")
    assert (refused.status, "can't be opened" in refused.notices[0]) == (422, True)
    dry = ended(fresh_console, fresh_console.press(refused, CHECK, follow=False, destination_target="app"))

    assert "Nothing stands against it" in dry.text


def test_nothing_older_than_the_oldest_is_there(console: Console, points: list[str]) -> None:
    assert points
    page = console.get("/restores/new?target=line&before=2001-01-01T00:00")

    assert "No recovery point is that old" in page.text


def test_backups_of_a_database_that_is_registered_no_more_go_to_another_one(console: Console) -> None:
    gone = console.add_target("gone")
    backup_id = console.back_up("gone")
    console.client.delete("/api/v1/targets/gone", headers=console.token).raise_for_status()
    page = console.get(f"/restores/new?backup={backup_id}")

    assert any("gone is not registered any more" in notice for notice in page.notices)

    unsaid = console.press(page, CHECK, follow=False)
    assert unsaid.wrong["destination_target"].startswith("Choose on whose server.")
    dry = ended(console, console.press(unsaid, CHECK, follow=False, destination_target="app"))

    assert dry.heading == "Dry run of gone"
    assert "Nothing stands against it" in dry.text
    assert gone.exists()


def test_the_history_tells_dry_runs_from_restores(console: Console, notes: Path) -> None:
    checked(console, new_name=str(notes.with_name("third.db")))
    everything, dry = console.get("/restores").rows(), console.get("/restores?show=dry-runs").rows()
    real = console.get("/restores?show=restores").rows()

    assert len(everything) == len(dry) + len(real)
    assert all("dry run" in row["State"] for row in dry)
    assert not any("dry run" in row["State"] for row in real)
    assert all(row["Asked for"].endswith("by root@example.com") for row in everything)


def test_many_restores_are_shown_page_by_page(fresh_console: Console) -> None:
    now = utcnow()
    with fresh_console.database.transaction() as session:
        for number in range(60):
            row = Restore(
                id=f"00000000-0000-4000-8000-{number:012}",
                target="app",
                destination_target="app",
                mode="new",
                destination=f"<i>{number}</i>",
                token="x" * 8,
                tables=[],
                acknowledge=[],
                dry_run=False,
                requested_by="cli",
                address="-",
                status="failed",
                created_at=now - timedelta(minutes=number),
            )
            session.add(row)
    first = fresh_console.get("/restores?show=restores")
    second = fresh_console.get(first.links["Older"])

    assert (len(first.rows()), len(second.rows())) == (50, 10)
    assert fresh_console.get(second.links["Newest"]).rows() == first.rows()
    assert "<i>59</i>" in second.rows()[-1]["Where to"]
    assert "a backup that is gone" in second.text


def test_a_failed_restore_says_that_all_is_as_it_was(console: Console) -> None:
    file = console.add_target("broken")
    console.back_up("broken")
    page = console.get("/restores/new?target=broken")
    dry = ended(console, console.press(page, CHECK, follow=False, mode="replace"))
    for stored in console.services.settings.data_dir.rglob("broken/*.zst"):
        stored.write_bytes(bytes(stored.stat().st_size))
    live = content(file)

    failed = ended(console, console.press(dry, "Replace it now", confirm="broken", follow=False))

    assert "What was there before is as it was" in failed.text
    assert content(file) == live
    assert failed.form("Check it again").action.endswith("/again")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM author").fetchone() == (10,)
