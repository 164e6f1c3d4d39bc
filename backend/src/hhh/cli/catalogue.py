"""``hhh catalogue``: what is known of backups, and where that is read from again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from hhh.artifacts.destinations import Destination
from hhh.cli.output import JsonOption, console, print_json, problems
from hhh.cli.session import opened_services
from hhh.core.errors import InvalidInput
from hhh.jobs.worker import working
from hhh.models import BackupCopy
from hhh.services import rebuild as service
from hhh.services.rebuild import RebuildReport
from hhh.services.stores import DEFAULT_STORE, StoreService
from hhh.services.trust import trusted_keys
from hhh.storages.registry import open_storage

app = typer.Typer(help="What is known of backups.", no_args_is_help=True)

#: Further ones are counted; `--json` has them all.
_SHOWN_PROBLEMS = 20


@app.callback()
def group() -> None:
    """What is known of backups."""


@app.command("rebuild")
def rebuild(
    storage: Annotated[
        str | None, typer.Option(help="The name or the URL of a store, instead of HHH_STORAGE_URL.")
    ] = None,
    *,
    all_installations: Annotated[
        bool, typer.Option("--all-installations", help="Also backups that other installations have taken.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add to the catalogue the backups that a store has and it has not; nothing is taken away."""
    with opened_services() as services, working(services) as worker, _progress_bar() as observe:
        worker.tidy()  # a backup whose process was killed is no longer under way
        destination = _destination(services.stores, storage)
        report = service.rebuild(
            services.database,
            services.identity,
            destination,
            trusted_keys=trusted_keys(services.settings, services.identity),
            all_installations=all_installations,
            observe=observe,
        )
    if as_json:
        print_json({"storage": destination.storage.address, **dataclasses.asdict(report)})
        return
    _print(report, destination.storage.address)


def _destination(stores: StoreService, asked: str | None) -> Destination:
    if asked is None or "://" not in asked:
        return stores.find(asked or DEFAULT_STORE)
    storage = open_storage(asked)
    known = (store for store in stores.all() if store.storage.address == storage.address)
    if (store := next(known, None)) is not None:
        return store
    if len(storage.address) > BackupCopy.storage.type.length:
        raise InvalidInput(
            f"The address of the store is too long to name its copies by: {storage.address}",
            hint="set it as HHH_STORAGE_URL for this command, without --storage",
        )
    return Destination(storage.address, storage)


def _print(report: RebuildReport, address: str) -> None:
    if report.expected or report.read:
        console.print(
            f"Manifests read in {escape(address)}: {report.read}. Added to the catalogue: {report.added}, "
            f"completed: {report.completed}, there before: {report.known}, left out: {len(report.problems)}."
        )
    else:
        whose = " of this installation" if report.of_others else ""
        console.print(f"No manifest{whose} was found in {escape(address)}.")
    if report.busy:
        console.print(f"Left to jobs that have not ended: {report.busy}.")
    if report.removed:
        console.print(f"Left alone, since they are being removed: {report.removed}.")
    if report.of_others:
        console.print(
            f"Not looked at, since other installations took them: {report.of_others}. "
            "With --all-installations they are added, too."
        )
    _print_problems(report)


def _print_problems(report: RebuildReport) -> None:
    others = [problem for problem in report.problems if problem.signed_by is None]
    for problem in others[:_SHOWN_PROBLEMS]:
        problems.print(f"[bold red]Left out:[/] {escape(problem.key)}: {escape(problem.reason)}")
    if len(others) > _SHOWN_PROBLEMS:
        problems.print(f"… and {len(others) - _SHOWN_PROBLEMS} more; --json tells all.")
    for key, count in Counter(problem.signed_by for problem in report.problems if problem.signed_by).items():
        problems.print(
            f"[bold red]Left out:[/] {count} signed by the key {key}, which is not trusted here.\n"
            f"  → If it is a key of yours, e.g. of a lost installation, set HHH_TRUSTED_KEYS={key} and run this again."
        )


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[RebuildReport], None]]:
    columns = (SpinnerColumn(), TextColumn("reading manifests"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=problems, transient=True, disable=not problems.is_terminal)
    with bar:
        task = bar.add_task("rebuild", total=None)
        yield lambda report: bar.update(task, completed=report.read, total=max(report.expected, report.read))
