"""`hhh audit`, and what every other command leaves there."""

import contextlib
import json
import os
import pwd
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hhh.cli.app import app
from hhh.core.database import Database
from hhh.models import Action, BackupCopy
from hhh.services import audit
from support.own_databases import migrated_file
from support.session import current_session
from support.sqlite_data import make_sqlite_database

PASSWORD = "correct horse battery staple"
#: Commands that change nothing, or what is none of the service's.
LOOKING = {
    *("doctor", "monitor", "target list", "target show", "target status", "target test", "users list", "tokens list"),
    *("backup list", "backup show", "backup follow", "backup peek", "backup commands", "backup verifications"),
    *("backup verification", "backup report", "backup check-report", "schedule list", "schedule show"),
    *("schedule preview", "storage list", "storage show", "storage test", "restore list", "restore show", "keys show"),
    *("worker list", "alerts list", "alerts test", "alerts channels list", "audit list", "audit verify"),
}
#: Those that leave no event by themselves, and why.
EXEMPT: Mapping[str, str] = {
    "serve": "what is done there has its own events",
    "worker run": "as `serve`",
    "worker": "as `serve`",
    "migrate": "the log is a part of what it makes",
    "recover-service": "it makes the database that the log is in, from a backup, and says so itself",
    "backup cancel": "as over HTTP, by the same service",
    "restore undo": "as over HTTP, by the same service",
    "users set-password": "by the service that `users set-role` calls",
    "users reset-second-factor": "as the account's own, by the same service",
}


class Hhh:
    """Runs commands in this process, in one installation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {"HHH_DATA_DIR": str(folder)}
        self.known: dict[str, str] = {}

    def run(self, *arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, [*arguments], input=stdin, env=self._environment)

    def done(self, *arguments: str, stdin: str = "") -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    def told(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.done(*arguments, "--json", stdin=stdin))
        return found

    def events(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.done("audit", "list", *arguments, "--json"))
        return found

    def statement(self, text: str) -> None:
        """Changes the database as somebody does who can write its file."""
        database = sqlite3.connect(self.folder / "hhh.db")
        database.execute(text)
        database.commit()
        database.close()


@pytest.fixture(scope="module")
def hhh() -> Hhh:
    folder = current_session().new_folder("audit")
    (folder / "hhh.db").write_bytes(migrated_file().read_bytes())
    (folder / "hhh.db").chmod(0o600)
    make_sqlite_database(folder / "shop.db", megabytes=0.02)
    return Hhh(folder)


def filled_in(hhh: Hhh, arguments: str) -> list[str]:
    """The arguments of a command of `TOLD`, with what is there by now."""
    known = {"FOLDER": str(hhh.folder)}
    if "BACKUP" in arguments:
        oldest = json.loads(hhh.done("backup", "list", "--json"))[-1]
        known |= {"BACKUP": oldest["id"], "FILE": oldest["backup_file"]}
    if "SCHEDULE" in arguments:
        known["SCHEDULE"] = json.loads(hhh.done("schedule", "list", "--json"))[0]["id"]
    for name, value in known.items():
        arguments = arguments.replace(name, value)
    return arguments.split()


#: In their order: the command, what it is called with, and the action that is told.
TOLD: Mapping[str, tuple[str, str]] = {
    "target add": ("shop sqlite:///FOLDER/shop.db", "target.add"),
    "target set": ("shop --retries 3", "target.change"),
    "backup run": ("shop", "backup"),
    "backup pin": ("BACKUP", "backup.pin"),
    "backup unpin": ("BACKUP", "backup.pin"),
    "backup download": ("BACKUP --to FOLDER/taken.bin", "backup.download"),
    "backup import": ("FOLDER/shop.db --target shop", "backup.import"),
    "backup verify": ("BACKUP --level stored", "verify"),
    "backup prune": ("shop", "prune"),
    "backup repair": ("shop", "repair"),
    "restore run": ("BACKUP --to FOLDER/restored.db", "restore"),
    "schedule add": ("shop @daily", "schedule.add"),
    "schedule set": ("SCHEDULE --cron @hourly", "schedule.change"),
    "schedule pause": ("SCHEDULE", "schedule.change"),
    "schedule resume": ("SCHEDULE", "schedule.change"),
    "schedule run": ("SCHEDULE", "backup"),
    "schedule remove": ("SCHEDULE", "schedule.remove"),
    "backup delete": ("BACKUP --force FILE", "backup.delete"),
    "storage add": ("offsite file:///FOLDER/offsite", "store.add"),
    "storage set": ("offsite --url file:///FOLDER/elsewhere", "store.change"),
    "storage remove": ("offsite", "store.remove"),
    "target remove": ("shop", "target.remove"),
    "users create": ("ann@example.com", "user.create"),
    "users set-role": ("ann@example.com super_admin", "user.change"),
    "tokens create": ("script --user ann@example.com --scope backup:read", "token.create"),
    "tokens revoke": ("script", "token.revoke"),
    "users end-sessions": ("ann@example.com", "auth.session-end"),
    "users remove": ("bob@example.com", "user.remove"),
    "alerts channels add": ("on-call", "alert-channel.add"),
    "alerts channels change": ("on-call", "alert-channel.change"),
    "alerts channels remove": ("on-call", "alert-channel.remove"),
    "catalogue rebuild": ("", "catalogue.rebuild"),
    "keys kit": ("--to FOLDER/kit.md --with-secrets", "keys.change"),
    "keys agree": ("", "keys.change"),
    "keys rotate-secret": ("", "keys.change"),
    "audit export": ("", "audit.export"),
}


#: What is typed, where something is.
TYPED: Mapping[str, str] = {
    "users create": f"{PASSWORD}\n",
    "alerts channels add": "json://127.0.0.1:9/\n",
    "keys kit": "a passphrase that is long\n",
}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that does something by itself."""
    for name, each in getattr(command, "commands", {}).items():
        yield from leaves(each, (*path, name))
    if not getattr(command, "commands", {}):
        yield " ".join(path)


def test_every_command_is_known() -> None:
    commands = {*leaves(typer.main.get_command(app))}

    assert commands - TOLD.keys() - LOOKING - EXEMPT.keys() == set(), "nobody knows what these leave in the audit log"
    assert TOLD.keys() - commands == set()


def test_each_leaves_an_event_of_the_account_that_ran_it_and_no_secret(hhh: Hhh) -> None:
    """One test: each command needs what those before it made."""
    account = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    for command, (arguments, action) in TOLD.items():
        before = [each["seq"] for each in hhh.events("--limit", "1")]
        if command == "catalogue rebuild":
            hhh.statement(f"DELETE FROM {BackupCopy.__tablename__}")
        if command == "users remove":  # ann is the last super admin
            hhh.done("users", "create", "bob@example.com", stdin=f"{PASSWORD}\n")

        hhh.done(*command.split(), *filled_in(hhh, arguments), stdin=TYPED.get(command, ""))

        new = [each for each in hhh.events() if not before or each["seq"] > before[0]]
        told = {(each["actor_kind"], each["actor"], each["action"]) for each in new}
        assert ("cli", account, action) in told, command
        assert all(each["subject"] for each in new), command

    hhh.done("target", "add", "hidden", "postgresql://ann:s3cr3t-word@db.invalid/shop")
    export = hhh.done("audit", "export")
    assert "hidden" in export
    for secret in ("s3cr3t-word", PASSWORD, "a passphrase that is long"):
        assert secret not in export


def test_what_was_done_is_listed_by_names_with_what_is_known_of_it(hhh: Hhh) -> None:
    listed = hhh.done("audit", "list", "--action", "schedule.add").splitlines()

    assert listed[0].split()[-1] == "DETAIL"
    assert "@hourly of shop" in listed[1] or "@daily of shop" in listed[1]  # gone by now
    assert "cron: @daily; jitter seconds: 0; paused: no; time zone: UTC; id: " in listed[1]


def test_a_log_that_was_changed_is_told_with_its_place(hhh: Hhh, tmp_path: Path) -> None:
    hhh.done("audit", "export")  # which is an event
    good = hhh.run("audit", "verify")
    assert good.exit_code == 0, good.output
    head = good.stdout.split("up to ")[1].split()[0]
    file = tmp_path / "audit.jsonl"
    file.write_text(hhh.done("audit", "export", "--since", "2020-01-01"))
    key = json.loads(hhh.done("keys", "show", "--json"))["signing_key"]

    assert hhh.run("audit", "verify", "--file", str(file), "--key", key).exit_code == 0
    assert hhh.run("audit", "verify", "--head", head).exit_code == 0
    hhh.statement("DROP TRIGGER audit_events_no_update")
    hhh.statement("UPDATE audit_events SET actor = 'bob' WHERE seq = 1")
    broken = hhh.run("audit", "verify")
    assert broken.exit_code == 1
    assert "Broken at event 1: what it says was changed" in broken.stderr
    assert json.loads(hhh.run("audit", "verify", "--json").stdout)["broken_at"] == 1


def test_nobody_writes_lines_into_the_list_or_commands_the_terminal(hhh: Hhh) -> None:
    forged = "GET /x\n4711  2026-01-01 00:00:00  root\x1b[2J\x9b2J\u202e"
    with contextlib.closing(Database(f"sqlite:///{hhh.folder / 'hhh.db'}")) as database:
        audit.record_alone(database, Action.REFUSED, forged, detail={"said": forged})

    listed = hhh.done("audit", "list", "--action", "access")
    as_json = hhh.done("audit", "list", "--action", "access", "--json")

    assert len(listed.splitlines()) == 2
    assert listed.replace("\n", "").isprintable()
    assert as_json.replace("\n", "").isprintable()
    assert json.loads(as_json)[0]["subject"] == forged


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--since", "yesterday"], "--since is no moment"),
        (["list", "--actor", "\x1b"], "actor"),
        (["verify", "--head", "5"], "SEQ:HASH"),
        (["verify", "--key", "x"], "--key is for an exported file"),
        (["verify", "--file", "nowhere", "--key", "x"], "--key is no public key"),
    ],
)
def test_what_can_not_be_used_is_told(hhh: Hhh, arguments: list[str], said: str) -> None:
    result = hhh.run("audit", *arguments)

    assert result.exit_code != 0
    assert said in str(result.exception)
