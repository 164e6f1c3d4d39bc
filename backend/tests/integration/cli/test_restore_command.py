"""`hhh restore` in both its forms: beside a catalogue, and with a store alone."""

import json
from pathlib import Path
from typing import Any

import pyrage
import pytest

from support.backing_up import files_below
from support.machines import Installation, Machine
from support.restoring import change, content
from support.session import current_session


@pytest.fixture(scope="module")
def shared() -> Installation:
    """For tests that leave the store and the live database as they are."""
    return Installation(current_session().new_folder("restores") / "installation")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "installation")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without any installation; it differs from a bare one only in where scratch is."""
    machine = Machine(tmp_path / "elsewhere")
    machine.environment["HHH_SCRATCH_DIR"] = str(machine.scratch)
    return machine


# ------------------------------------------------------------------------------------------------ from a store alone


def test_whose_backup_it_is_has_to_be_proven_or_acknowledged(shared: Installation, machine: Machine) -> None:
    words = ("restore", "--from", shared.store, "--to", "new.db", "--identity", shared.identity_file)
    said = machine.refused(*words)
    assert shared.key in said
    assert "--acknowledge signature" in said
    assert "not trusted" in machine.refused(*words, "--trusted-key", "another")
    assert files_below(machine.home) == []
    machine.must_run(*words, "--acknowledge", "signature")
    assert files_below(machine.home) == ["new.db"]


def test_the_identity_has_to_fit(shared: Installation, machine: Machine) -> None:
    words = ("restore", "--from", shared.store, "--to", "new.db", "--trusted-key", shared.key)
    assert str(shared.identity.to_public()) in machine.refused(*words)
    other = machine.folder / "other.txt"
    other.write_text(str(pyrage.x25519.Identity.generate()))
    assert "no identity that opens it" in machine.refused(*words, "--identity", str(other))
    assert "can't be read" in machine.refused(*words, "--identity", str(machine.folder / "none"), code=2)
    assert files_below(machine.home) == []
    machine.must_run(*words, HHH_AGE_IDENTITY_FILE=shared.identity_file)


def test_a_plan_says_what_would_happen_and_does_nothing(shared: Installation, machine: Machine) -> None:
    told = machine.as_json("restore", *shared.opening, "--to", "new.db", "--plan")
    assert (told["destination"], told["receipt"], told["error"]) == (f"{machine.home}/new.db", None, None)
    assert told["plan"]["steps"]
    assert {check["status"] for check in told["plan"]["checks"]} == {"ok"}
    assert files_below(machine.home) == []

    (machine.home / "new.db").write_bytes(b"")
    unsafe = machine.run("restore", *shared.opening, "--to", "new.db", "--plan", "--json")
    assert unsafe.returncode == 1
    assert json.loads(unsafe.stdout)["error_code"] == "ERR_RESTORE_UNSAFE"
    assert "exists" in unsafe.stderr
    assert (machine.home / "new.db").read_bytes() == b""


def test_a_backup_is_chosen_by_its_names_or_by_the_url_of_its_manifest(
    installation: Installation, machine: Machine
) -> None:
    first, newest = installation.backup, installation.as_json("backup", "run", "shop")
    installation.as_json("backup", "run", "app")
    opened = ("--trusted-key", installation.key, "--identity", installation.identity_file, "--plan", "--to", "x.db")
    several = machine.refused("restore", "--from", installation.store, *opened, code=2)
    assert "--target app (1)" in several
    assert "--target shop (2)" in several

    def chosen(url: str, *more: str) -> Any:
        return machine.as_json("restore", "--from", url, *opened, *more)["backup_file"]

    assert chosen(installation.store, "--target", "shop") == newest["backup_file"]
    assert chosen(installation.store, "--target", "shop", "--backup", "latest") == newest["backup_file"]
    assert chosen(installation.store, "--target", "shop", "--backup", first["backup_file"]) == first["backup_file"]
    folder = f"{installation.store}/{first['manifest']['installation']}/shop"
    assert chosen(f"{folder}/{first['backup_file']}.json") == first["backup_file"]
    assert chosen(folder) == newest["backup_file"]


def test_replacing_a_file_needs_its_name(installation: Installation, machine: Machine) -> None:
    words = ("restore", *installation.opening, "--to", str(installation.database), "--replace")
    change(installation.database)
    changed = content(installation.database)
    assert "--confirm shop.db" in machine.refused(*words, code=2)
    assert "--confirm shop.db" in machine.refused(*words, "--confirm", "shop", code=2)
    assert content(installation.database) == changed
    receipt = machine.as_json(*words, "--confirm", "shop.db")["receipt"]
    assert content(installation.database) == installation.original
    assert content(Path(receipt["kept"])) == changed


def test_a_damaged_object_is_told_and_nothing_is_made(installation: Installation, machine: Machine) -> None:
    key = installation.backup["manifest"]["object"]["key"]
    stored = installation.data / "backups" / key
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.write_bytes(damaged)
    words = ("restore", *installation.opening, "--to", "new.db")
    assert "damaged" in machine.refused(*words)
    assert "damaged" in machine.refused(*words, "--plan")
    stored.unlink()
    assert "object" in machine.refused(*words)
    assert files_below(machine.home) == []


@pytest.mark.parametrize(
    ("words", "saying"),
    [
        (("--from", "file:///nowhere"), "--to"),
        (("--from", "ftp://host/x", "--to", "x"), "ftp"),
        (("--from", "file:///nowhere", "--to", "x", "latest"), "--backup"),
        (("--from", "file:///nowhere", "--to", "x", "--replace", "--tables", "a"), "--tables"),
        (("latest", "--to", "x", "--trusted-key", "key"), "--from"),
        (("--to", "x", "--replace"), "--to"),
        (("latest",), "--to"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_wrong_usage_ends_with_2(machine: Machine, words: tuple[str, ...], saying: str) -> None:
    assert saying in machine.refused("restore", *words, code=2)
    assert files_below(machine.home) == []


# ------------------------------------------------------------------------------------------------ with a catalogue


def test_a_known_backup_is_restored_listed_shown_and_taken_back(installation: Installation) -> None:
    installation.environment["HHH_AGE_IDENTITY_FILE"] = installation.identity_file
    told = installation.must_run("restore", installation.backup["id"], "--to", "new.db")
    assert "Restored to" in told
    assert content(installation.home / "new.db") == installation.original

    change(installation.database)
    changed = content(installation.database)
    assert installation.as_json("restore", "latest", "--target", "shop", "--plan")["steps"]
    assert content(installation.database) == changed
    replace = ("restore", "latest", "--target", "shop", "--replace")
    assert "'shop'" in installation.refused(*replace, "--confirm", "other", code=2)
    replaced = installation.as_json(*replace, "--confirm", "shop")
    assert content(installation.database) == installation.original
    assert replaced["receipt"]["differences"] == []

    undone = installation.as_json("restore", "undo", replaced["id"])
    assert undone["undo_of"] == replaced["id"]
    assert content(installation.database) == changed

    listed = installation.as_json("restore", "list")
    assert [(each["mode"], each["dry_run"]) for each in listed] == [
        ("replace", False),
        ("replace", False),
        ("replace", True),
        ("new", False),
    ]
    assert {each["requested_by"] for each in listed} == {"cli"}
    assert installation.as_json("restore", "list", "--limit", "1") == listed[:1]
    assert installation.as_json("restore", "show", replaced["id"]) == listed[1]
    assert "undone" in installation.must_run("restore", "show", replaced["id"])
    assert replaced["id"] in installation.must_run("restore", "list")
    assert "undone already" in installation.refused("restore", "undo", replaced["id"])


def test_what_stands_against_a_restore_is_told_one_by_one(shared: Installation) -> None:
    (shared.home / "there.db").write_bytes(b"")
    words = ("restore", shared.backup["id"], "--to", "there.db")
    said = shared.refused(*words)  # and no identity is set
    assert "  identity " in said
    unsafe = json.loads(shared.run(*words, "--json").stdout)
    assert unsafe["error_code"] == "ERR_RESTORE_UNSAFE"
    assert "identity" in [reason["name"] for reason in unsafe["reasons"]]
    assert "identity" in shared.refused("restore", "latest", "--target", "shop", "--plan")
    assert (shared.home / "there.db").read_bytes() == b""
    assert "No backup has that id" in shared.refused("restore", "nonsense", "--to", "x.db")
    assert "no backup of 'app'" in shared.refused("restore", "latest", "--to", "x.db")
