"""SQLite: ours against zstd and cp of the file, sqlite3's .backup, restic and borg."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from bench.contenders import Command, Contender, ServerClock, Trigger, archivers, cli, warm_service
from bench.databases import fill_sqlite
from bench.report import Goal, Part, line_of
from bench.rounds import Series, Span, interleaved, ratio

_ZSTD = "zstd -1 of the file"
_COPY = "cp of the file"
_BACKUP = "sqlite3 .backup"
_OURS = "ours: encrypted, with facts"
_OURS_OPEN = "ours: with facts, not encrypted"
_OURS_CLI = "ours: the same by the command line"


def measure(folder: Path, *, megabytes: float, runs: int, recipient: str) -> Part:
    """Makes the database, and runs all ways."""
    folder.mkdir()
    source = folder / "shop.db"
    size = fill_sqlite(source, megabytes)
    clock = ServerClock()
    targets = {"shop": f"sqlite:///{source}"}
    with (
        warm_service(folder / "encrypted", targets, {"age_recipients": recipient}) as sealed,
        warm_service(folder / "open", targets) as unsealed,
    ):
        ours = [
            Trigger(_OURS, sealed, "shop", clock),
            Trigger(_OURS_OPEN, unsealed, "shop", clock),
            cli(_OURS_CLI, sealed, "shop", folder=folder, clock=clock),
        ]
        found = interleaved([*_others(source, folder, clock), *ours], runs)
    subject = f"SQLite {sqlite3.sqlite_version}, a database of {size / 1e6:.0f} MB, {runs} rounds"
    return _part(subject, found)


def _others(source: Path, folder: Path, clock: ServerClock) -> list[Contender]:
    scripts = {
        _ZSTD: f"zstd -q -1 -o out/backup.zst '{source}'",
        _COPY: f"cp '{source}' out/backup.db",
        _BACKUP: f"sqlite3 '{source}' '.backup out/backup.db'",
    }
    if shutil.which("sqlite3") is None:
        del scripts[_BACKUP]
    commands = [Command(name, script, folder=folder, clock=clock) for name, script in scripts.items()]
    return [*commands, *archivers(str(source), from_stdin=False, folder=folder, clock=clock, environment={})]


def _part(subject: str, found: dict[str, Series]) -> Part:
    yardstick = [zstd + copy / 2 for zstd, copy in zip(found[_ZSTD].walls, found[_COPY].walls, strict=True)]
    ours = found[_OURS]
    peak = [usage.peak_tree / 2**20 for usage in ours.runs]
    goals = [
        Goal("ours, encrypted, with facts, to zstd -1 and half a cp", ratio(ours.walls, yardstick), 1.25, "×"),
        Goal("peak memory of all our processes", Span.of(peak), 256, "MiB"),
    ]
    lines = [line_of(each, yardstick) for each in found.values()]
    return Part("sqlite", subject, "(zstd -1 + ½ cp)", lines, goals)
