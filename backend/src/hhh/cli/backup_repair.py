"""``hhh backup repair``: copies that are missing are made again."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Annotated

import typer

from hhh.cli.output import JsonOption, console, print_json
from hhh.cli.progress import progress_bar
from hhh.cli.session import opened_services
from hhh.core.errors import HHHError
from hhh.core.text import counted, listed
from hhh.jobs.worker import Worker, working
from hhh.models import CopyStatus
from hhh.schemas.repair import RepairOutcome
from hhh.services.container import Services


def repair(
    target: Annotated[
        str | None, typer.Argument(help="The name of a target; without it, all that lack copies.")
    ] = None,
    *,
    new_stores: Annotated[
        bool, typer.Option("--new-stores", help="Also fill stores that the target got after a backup was taken.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make missing copies of backups again, from good ones."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with opened_services() as services, working(services) as worker:
        worker.tidy()
        outcomes = [
            _repair(services, worker, each, new_stores=new_stores)
            for each in _targets(services, target, new_stores=new_stores)
        ]
    if as_json:
        print_json(outcomes)
    for outcome in outcomes:
        if not as_json:
            _print(outcome)
    if any(outcome.status != "success" for outcome in outcomes):
        raise HHHError(
            "Not every copy could be made",
            hint="see to the store, then run it again; where no good copy is left, bring its objects back, then: "
            "hhh doctor --repair",
        )
    if not outcomes and not as_json:
        console.print("No copy is missing")


def _targets(services: Services, target: str | None, *, new_stores: bool) -> Sequence[str]:
    if target is not None:
        return [target]
    return services.targets.names() if new_stores else services.repair.lacking()


def _repair(services: Services, worker: Worker, target: str, *, new_stores: bool) -> RepairOutcome:
    job_id = worker.create(services.repair.request(target, new_stores=new_stores))
    missing = services.repair.copies(target, CopyStatus.MISSING)
    with progress_bar(target) as observer:
        worker.execute(job_id, observer)
    state, error = services.repair.outcome(job_id)
    stored = set(services.repair.copies(target, CopyStatus.STORED)) if missing else set()
    made = [f"{file} in {store}" for file, store in missing if (file, store) in stored]
    return RepairOutcome(target=target, job_id=job_id, status=state.value, error=error, made=made)


def _print(outcome: RepairOutcome) -> None:
    if outcome.made:
        made = f"{counted(len(outcome.made), 'copy', 'copies')} made: {listed(outcome.made)}"
        console.print(f"{outcome.target}: {made}", markup=False)
    if outcome.error or not outcome.made:
        console.print(f"{outcome.target}: {outcome.error or 'no copy is missing'}", markup=False)
