"""Lost keys, a lost catalogue, a lost machine: docs/keys.md says what to do, and no backup is lost by it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.documentation import KEYS, RECOVERY, Operator, require_programs
from support.sqlite_data import make_sqlite_database

PASSPHRASE = "six words that are not random"


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator who has backed up `shop` and `app`, encrypted; the identity is not on the service's machine."""
    require_programs("bash", "age", "age-keygen", "zstd", "sha256sum", "sqlite3", "jq")
    operator = Operator(tmp_path, page=KEYS)
    public_key = Operator(tmp_path).must_run("age-key").split()[-1]
    make_sqlite_database(tmp_path / "shop.db")
    operator.environment |= {
        "HHH_DATA_DIR": str(tmp_path / "var"),
        "HHH_STORAGE_URL": (tmp_path / "store").as_uri(),
        "HHH_AGE_RECIPIENTS": public_key,
        "SHOP_URL": f"sqlite:///{tmp_path}/shop.db",
    }
    operator.must_run("target-again")
    must(operator, "hhh backup run app && hhh backup run shop")
    return operator


def must(operator: Operator, script: str) -> str:
    done = operator.run_script(script)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def backups(operator: Operator, target: str = "shop") -> dict[str, str]:
    """The states of a target's backups, by their ids."""
    listed = json.loads(must(operator, f"hhh backup list --target {target} --json"))
    return {backup["id"]: backup["status"] for backup in listed}


def signing_key(operator: Operator) -> str:
    key = str(json.loads(must(operator, "hhh keys show --json"))["signing_key"])
    assert key in operator.must_run("show")
    return key


def recovered(operator: Operator, target: str, place: Path) -> Path:
    """The newest backup of a target, recovered by hand."""
    by_hand = Operator(operator.folder, page=RECOVERY)
    by_hand.environment |= {
        "STORE": str(operator.folder / "store"),
        "TARGET": target,
        "KEY": str(operator.folder / "hhh-backup.key"),
        "RESTORED": str(place),
    }
    printed = by_hand.must_run("pick", "objects", "check", "sqlite", "compare-sqlite")
    assert printed.splitlines()[-2:] == ["ok", "rows as in the facts"]
    return place


def check_restorable(operator: Operator) -> None:
    """The newest backup of `shop` comes back, by the product and by hand."""
    recovered(operator, "shop", operator.folder / "by-hand.db")
    destination = operator.folder / "by-product.db"
    key = operator.folder / "hhh-backup.key"
    must(operator, f'hhh restore --from "$HHH_STORAGE_URL" --target shop --to {destination} --identity {key}')
    for file in (operator.folder / "by-hand.db", destination):
        assert dump(file) == dump(operator.folder / "shop.db")


def dump(file: Path) -> str:
    return subprocess.run(["sqlite3", file, ".dump"], capture_output=True, text=True, check=True).stdout


def test_another_secret_key_costs_nothing_where_it_is_kept_and_where_it_is_set(operator: Operator) -> None:
    kept = operator.folder / "var/secret.key"
    before = kept.read_bytes()

    operator.must_run("rotate")
    operator.environment["HHH_SECRET_KEY"] = kept.read_text()
    operator.must_run("rotate-set")
    operator.environment["HHH_SECRET_KEY"] = (operator.folder / "new.key").read_text().strip()

    assert kept.read_bytes() != before
    must(operator, "hhh backup run shop")


@pytest.mark.soak
def test_a_lost_secret_key_costs_the_urls_of_targets_and_no_backup(operator: Operator) -> None:
    known = backups(operator)
    (operator.folder / "var/secret.key").unlink()

    assert "can't be opened" in must(operator, "hhh target list")
    assert operator.run_script("hhh backup run shop").returncode == 2
    assert backups(operator).items() >= known.items()
    operator.must_run("agree", "target-again")

    must(operator, "hhh backup run shop")
    check_restorable(operator)


@pytest.mark.soak
def test_a_lost_signing_key_costs_no_backup(operator: Operator) -> None:
    known, old_key = backups(operator), signing_key(operator)
    (operator.folder / "var/signing.key").unlink()
    remove_catalogue(operator)

    told = operator.run("rebuild").stderr
    assert f"HHH_TRUSTED_KEYS={old_key} " in told
    assert backups(operator) == {}
    assert signing_key(operator) != old_key
    operator.environment["HHH_TRUSTED_KEYS"] = old_key

    operator.must_run("rebuild")
    assert backups(operator) == known
    check_restorable(operator)


@pytest.mark.soak
def test_a_lost_catalogue_comes_back(operator: Operator) -> None:
    known = backups(operator)
    remove_catalogue(operator)

    operator.must_run("rebuild")

    assert backups(operator) == known
    check_restorable(operator)


def remove_catalogue(operator: Operator) -> None:
    for file in (operator.folder / "var").glob("hhh.db*"):
        file.unlink()


@pytest.mark.soak
def test_a_machine_of_which_the_store_and_the_identity_are_left(operator: Operator) -> None:
    known, old_key = backups(operator), signing_key(operator)
    shutil.rmtree(operator.folder / "var")
    operator.environment["HHH_TRUSTED_KEYS"] = old_key

    operator.must_run("begin-anew")

    assert backups(operator) == known
    assert set(backups(operator, "app").values()) == {"success"}
    check_restorable(operator)
    operator.must_run("target-again")
    must(operator, "hhh backup run shop")
    assert len(backups(operator)) == len(known) + 1


@pytest.mark.soak
def test_a_machine_of_which_a_kit_with_secrets_is_left_too(operator: Operator) -> None:
    known, old_key, data = backups(operator), signing_key(operator), operator.folder / "var"
    identity = operator.folder / "hhh-backup.key"
    operator.environment["HHH_AGE_IDENTITY_FILE"] = str(identity)
    operator.must_run("kit-with-secrets", stdin=f"{PASSPHRASE}\n")
    operator.must_run("kit")
    del operator.environment["HHH_AGE_IDENTITY_FILE"]
    identity.unlink()
    shutil.rmtree(data)
    in_terminal(operator, operator.block("open-kit"), PASSPHRASE)
    operator.must_run("take-out", "take-out-identity")
    (operator.folder / "identity-of-the-kit.key").rename(identity)
    data.mkdir()
    (operator.folder / "signing.key").rename(data / "signing.key")
    recovered(operator, "app", data / "hhh.db")

    operator.must_run("rebuild")

    assert signing_key(operator) == old_key
    assert backups(operator) == known
    must(operator, "hhh backup run shop")  # its URL need not be typed again
    check_restorable(operator)


def in_terminal(operator: Operator, script: str, *typed: str) -> None:
    """Runs a script in a terminal; whenever it asks for something, the next line is typed."""
    ours, theirs = os.openpty()
    # Opened by the leader of a session, it becomes the session's terminal: passphrases are asked for there.
    command = ["bash", "-ec", f": < {os.ttyname(theirs)}\n{script}"]
    with subprocess.Popen(
        command,
        cwd=operator.folder,
        env=operator.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = watch(ours, list(typed))
        os.close(ours)
    assert process.returncode == 0, shown


def watch(terminal: int, typed: list[str]) -> str:
    """Reads all that is shown, to its end, and types."""
    shown = ""
    with contextlib.suppress(OSError):  # EIO: nobody has the other side open any more
        while piece := os.read(terminal, 4096):
            shown += piece.decode()
            if typed and re.search(r"(passphrase|Passphrase|confirmation): $", shown):
                os.write(terminal, f"{typed.pop(0)}\n".encode())
    return shown


@pytest.mark.soak
def test_the_passphrase_of_a_kit_is_asked_for_twice_at_a_terminal(operator: Operator) -> None:
    in_terminal(operator, operator.block("kit-with-secrets"), PASSPHRASE, "another", PASSPHRASE, PASSPHRASE)

    in_terminal(operator, operator.block("open-kit"), PASSPHRASE)
    opened = (operator.folder / "secrets.txt").read_text()
    assert re.search("^HHH_SECRET_KEY=.{32}", opened)
