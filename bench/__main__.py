"""``python -m bench``: measures, prints the tables, and keeps them in ``bench/results/``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

# The servers and the service are started by the tests' own rigs.
sys.path.insert(0, str(Path(__file__).parent.parent / "backend" / "tests"))

import pyrage

from bench import catalogue, console, drill, postgres, restore, schedules, sqlite, trigger
from bench.plot import svg
from bench.report import ORDER, RESULTS, Part, markdown, save
from support.session import current_session


def main() -> int:
    """Returns 0 if everything that must be reached was, else 1."""
    asked = _arguments()
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    folder = current_session().new_folder("bench")
    measures: dict[str, Callable[[], Part]] = {
        "postgres": lambda: postgres.measure(
            folder / "postgres",
            megabytes=asked.pg_mb,
            major=asked.pg_major,
            runs=asked.runs,
            recipient=recipient,
        ),
        "sqlite": lambda: sqlite.measure(
            folder / "sqlite", megabytes=asked.sqlite_mb, runs=asked.runs, recipient=recipient
        ),
        "restore-postgres": lambda: restore.measure_postgres(
            folder / "restore-postgres", megabytes=asked.pg_mb, major=asked.pg_major, runs=asked.runs
        ),
        "restore-sqlite": lambda: restore.measure_sqlite(
            folder / "restore-sqlite", megabytes=asked.sqlite_mb, runs=asked.runs
        ),
        "drill": lambda: drill.measure(folder / "drill", megabytes=asked.pg_mb, major=asked.pg_major, runs=asked.runs),
        "trigger": lambda: trigger.measure(folder / "trigger", requests=asked.requests, recipient=recipient),
        "catalogue": lambda: catalogue.measure(
            folder / "catalogue", rows=asked.rows, requests=asked.requests, major=asked.pg_major
        ),
        "console": lambda: console.measure(
            folder / "console", backups=asked.backups, targets=asked.targets, requests=asked.requests
        ),
        "schedules": lambda: schedules.measure(
            folder / "schedules", schedules=asked.schedules, minutes=asked.minutes, major=asked.pg_major
        ),
    }
    parts = [_measured(name, measures[name]) for name in ORDER if not asked.only or name in asked.only]
    table = markdown(parts)
    if not asked.only:
        (RESULTS / "table.md").write_text(table)
    print(table)
    return 0 if all(goal.reached for part in parts for goal in part.goals) else 1


def _measured(name: str, measure: Callable[[], Part]) -> Part:
    print(f"{name} …", file=sys.stderr)
    part = measure()
    save(part)
    (RESULTS / f"{name}.svg").write_text(svg(part))
    return part


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=ORDER, help="only this part; may be given again")
    parser.add_argument("--runs", type=int, default=5, help="counted rounds, after one to warm up (default 5)")
    parser.add_argument("--pg-mb", type=float, default=500, help="size of the PostgreSQL database (default 500)")
    parser.add_argument("--sqlite-mb", type=float, default=500, help="size of the SQLite database (default 500)")
    parser.add_argument(
        "--pg-major",
        type=int,
        default=postgres.default_major(),
        help="PostgreSQL's major (default %(default)s: the machine's own, else the package's 16)",
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the catalogue (default 1000000)")
    parser.add_argument("--backups", type=int, default=100_000, help="backups behind the console (default 100000)")
    parser.add_argument("--targets", type=int, default=500, help="targets behind the console (default 500)")
    parser.add_argument("--requests", type=int, default=40, help="requests of each kind (default 40)")
    parser.add_argument("--schedules", type=int, default=10_000, help="hourly schedules (default 10000)")
    parser.add_argument("--minutes", type=float, default=15, help="what their hour is compressed to (default 15)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
