"""``hhh backup peek``, ``download``, ``import``: what is in a backup, and the artifact itself, out and in."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from hhh.cli.output import JsonOption, console, print_json, print_table, size
from hhh.cli.progress import progress_bar
from hhh.cli.session import opened_services
from hhh.core.run import Progress, Unattended
from hhh.services.downloads import Form

BackupId = Annotated[str, typer.Argument(help="The id of a backup.")]


def peek(backup_id: BackupId, *, as_json: JsonOption = False) -> None:
    """Tell what is in a backup, without restoring it."""
    with opened_services() as services:
        contents = services.contents.of(backup_id)
    if as_json:
        print_json(contents)
        return
    print_table(
        ["SCHEMA", "TABLE", "ROWS"] if contents.engine == "postgresql" else ["TABLE", "ROWS"],
        [
            (
                *([table.schema_name] if table.schema_name else []),
                table.name,
                "–" if table.rows is None else str(table.rows),
            )
            for table in contents.tables
        ],
        empty="It has no tables.",
    )
    console.print(f"{size(contents.raw_size)} dumped, {size(contents.stored_size)} stored; definitions: --json")


def commands(backup_id: BackupId, *, as_json: JsonOption = False) -> None:
    """Print the commands that recover a backup by hand, without this service."""
    with opened_services() as services:
        found = services.recovery_commands.of(backup_id)
    if as_json:
        print_json(found)
        return
    console.print(f"# You need: {'; '.join(found.needs)}.", markup=False, soft_wrap=True)
    for number, copy in enumerate(found.copies):
        fetch = "Or fetch" if number else "Fetch"
        console.print(f"\n# {fetch} it from {copy.storage}. {copy.note}", markup=False, soft_wrap=True)
        console.print((copy.commands or "").rstrip(), markup=False, soft_wrap=True)
    for step in found.steps:
        console.print(f"\n# {step.title}\n{step.commands.rstrip()}", markup=False, soft_wrap=True)


def download(
    backup_id: BackupId,
    *,
    to: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    plain: Annotated[
        bool, typer.Option("--plain", help="Decrypted and decompressed: what pg_restore or sqlite3 reads.")
    ] = False,
) -> None:
    """Write the artifact of a backup to a file, and check its hash."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with opened_services() as services, progress_bar(backup_id) as observer:
        found = services.downloads.open(backup_id, Form.PLAIN if plain else Form.STORED)
        services.downloads.save(found, to, _Watched(observer))
    console.print(f"Wrote {to}: {size(found.size)}, its hash is right", markup=False)


def take_in(
    file: Annotated[Path, typer.Argument(help="A dump of pg_dump -Fc, or a SQLite file.")],
    *,
    target: Annotated[str, typer.Option(help="The target whose backup it becomes; it need not be registered.")],
    as_json: JsonOption = False,
) -> None:
    """Take in a dump that was made elsewhere: store it, sign it, and restore it like any backup."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with opened_services() as services:
        with progress_bar(file.name) as observer:
            backup_id = services.imports.take_in(file, target, _Watched(observer))
        backup = services.catalogue.get(backup_id)
    if as_json:
        print_json(backup)
        return
    stored = size(backup.stored_size)
    console.print(f"Imported {file} as {backup.backup_file} of {target}: {stored}, id {backup.id}", markup=False)


class _Watched(Unattended):
    """A run with a progress bar."""

    def __init__(self, observer: Callable[[Progress], None]) -> None:
        self._observer = observer

    def report(self, progress: Progress) -> None:
        self._observer(progress)
