"""``hhh recover-service``: the service on an empty machine, from the backup of its own database."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, duration, moment, print_json, problems
from hhh.cli.progress import progress_bar
from hhh.cli.restore_output import print_failure, print_reasons
from hhh.cli.session import settings, settings_as_they_are
from hhh.cli.standalone_restore import Watched
from hhh.cli.typed_secrets import read_secret
from hhh.core.clock import isoformat, utcnow
from hhh.core.config import Settings
from hhh.core.errors import RestoreFailed, RestoreUnsafe
from hhh.core.files import account, needed
from hhh.core.text import counted
from hhh.schemas.restore import Check, Receipt
from hhh.services.service_recovery import FoundInStore, Recovered, Wanted, recover
from hhh.services.service_recovery_kit import open_kit, unpacked
from hhh.services.targets import APP

#: Of what a store had and could not be used, so much is shown; `hhh catalogue rebuild` tells all.
_SHOWN = 5


def recover_service(
    source: Annotated[
        str | None, typer.Option("--from", help="Another store to recover from than HHH_STORAGE_URL, by URL.")
    ] = None,
    *,
    kit: Annotated[
        Path | None,
        typer.Option(
            help="A recovery kit with secrets: its keys are put in their places. The passphrase is asked for, or is "
            "the first line of standard input if that is no terminal."
        ),
    ] = None,
    backup_file: Annotated[
        str | None, typer.Option("--backup", help="The name of a backup; default: the newest that can be used.")
    ] = None,
    installation: Annotated[
        str | None, typer.Option(help="The id of the installation, where a store has several.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="The age identity file that opens it, instead of HHH_AGE_IDENTITY_FILE.")
    ] = None,
    trusted_key: Annotated[
        list[str] | None, typer.Option(help="A public key whose signature counts; may be repeated.")
    ] = None,
    acknowledge: Annotated[
        list[str] | None, typer.Option(help="Go on in spite of this check; may be given several times.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the service back on an empty machine: its own database from a store, and all that was stored since."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    accepted = frozenset(acknowledge or ())
    wanted = Wanted(source, installation, backup_file, tuple(trusted_key or ()), identity, accepted)
    try:
        with _keys_in_place(kit, wanted) as (loaded, wanted), progress_bar(APP) as observe:
            recovered = recover(loaded, wanted, Watched(observe))
    except RestoreUnsafe as error:
        print_reasons([Check.model_validate(reason) for reason in error.reasons])
        raise typer.Exit(1) from None
    except RestoreFailed as error:
        if error.receipt is not None:
            print_failure(Receipt.model_validate(error.receipt))
        raise
    if as_json:
        print_json(_document(recovered))
    else:
        print_recovered(loaded, recovered)
    if recovered.unfinished is not None:
        raise typer.Exit(1)


@contextlib.contextmanager
def _keys_in_place(kit: Path | None, wanted: Wanted) -> Iterator[tuple[Settings, Wanted]]:
    if kit is None:
        yield settings(), wanted
        return
    with needed(kit):
        text = kit.read_bytes().decode(errors="replace")
    loaded = settings_as_they_are()
    with unpacked(loaded, open_kit(text, read_secret("Passphrase"))) as keys:
        for path in keys.written:
            problems.print(f"Taken from the kit: {escape(str(path))}")
        if keys.to_set is not None:
            problems.print(
                f"[yellow]To do:[/] add what is in {escape(str(keys.to_set))} to the settings, and remove it"
            )
        yield keys.settings, dataclasses.replace(wanted, identity_file=wanted.identity_file or keys.identity_file)


def print_recovered(loaded: Settings, recovered: Recovered) -> None:
    """Tells what came back, and what is left to do."""
    age = (utcnow() - recovered.taken_at).total_seconds()
    ago = f", {duration(age)} ago" if age >= 0 else ""
    console.print(
        f"The service is back as it was {moment(recovered.taken_at)} UTC{ago}: "
        f"{counted(recovered.users, 'user', 'users')}, {counted(recovered.targets, 'target', 'targets')}, "
        f"installation {recovered.installation}"
    )
    console.print(f"  from {escape(recovered.store)}: {recovered.backup_file}")
    for each in recovered.passed_over:
        problems.print(f"[yellow]Note:[/] Passed over: {escape(each)}")
    if recovered.interrupted:
        ended = counted(recovered.interrupted, "job was", "jobs were")
        console.print(f"  {ended} under way then, and failed now: the backup of this database itself, for one")
    for found in recovered.found:
        _print_found(found)
    for line in _to_do(loaded, recovered):
        problems.print(f"[yellow]To do:[/] {escape(line)}")
    if recovered.unfinished is not None:
        problems.print(f"[bold red]Not finished:[/] {escape(recovered.unfinished)}")
        problems.print("  → the database is in place; mend that, then run `hhh catalogue rebuild`")
        return
    console.print("\nWhat was changed after that moment (users, targets, schedules, rules) is to be done again.")
    console.print(
        "What was taken away after it is back: revoked tokens, removed users, old passwords and second factors."
    )
    console.print("Look at `hhh tokens list` and `hhh users list`; docs/recover-the-service.md has more.")
    if loaded.jobs_database_url.get_secret_value():
        console.print("Next: `hhh doctor`, then `hhh serve` and the workers.")
    else:
        console.print("Next: `hhh doctor`, then `hhh serve`. Everybody signs in again, with the old password.")


def _to_do(loaded: Settings, recovered: Recovered) -> Iterator[str]:
    if (now := utcnow()) < recovered.taken_at:
        yield f"the clock of this machine shows {moment(now)} UTC, which was before that: set it right first"
    yield from recovered.unopened
    for store, taken_at in recovered.newer_in.items():
        yield f"store {store} has a newer backup of it, of {moment(taken_at)} UTC: begin again, with --from that store"
    if recovered.newest is not None:
        target, taken_at = recovered.newest
        yield (
            f"the newest backup of all is one of {target}, of {moment(taken_at)} UTC. If the old service still takes "
            "backups, stop it for good before you start this one"
        )
    owner = loaded.data_dir.stat().st_uid
    if owner != os.geteuid():
        yield f"what came back belongs to this account: chown --recursive {account(owner)} {loaded.data_dir}"


def _print_found(found: FoundInStore) -> None:
    if found.report is None:
        problems.print(
            f"[bold red]Not read:[/] store {found.store}: {escape(found.problem or '')}\n"
            f"  → once it answers: hhh catalogue rebuild --storage {found.store}"
        )
        return
    report = found.report
    newer = counted(report.added + report.completed, "backup", "backups")
    console.print(
        f"  store {found.store}: {newer} that the restored catalogue did not know, {report.known} that it did"
    )
    for problem in report.problems[:_SHOWN]:
        problems.print(f"[yellow]Note:[/] Left out: {escape(problem.key)}: {escape(problem.reason)}")
    if len(report.problems) > _SHOWN:
        problems.print(f"… and {len(report.problems) - _SHOWN} more: hhh catalogue rebuild --storage {found.store}")


def _document(recovered: Recovered) -> dict[str, object]:
    document = dataclasses.asdict(recovered)
    return {
        **document,
        "taken_at": isoformat(recovered.taken_at),
        "newer_in": {store: isoformat(moment) for store, moment in recovered.newer_in.items()},
        "newest": recovered.newest and {"target": recovered.newest[0], "taken_at": isoformat(recovered.newest[1])},
    }
