"""``hhh doctor``."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, print_json
from hhh.cli.session import opened_services
from hhh.jobs import runtime
from hhh.jobs.worker import Worker, working
from hhh.services.container import Services
from hhh.services.doctor import examine_all
from hhh.services.doctor_findings import Finding
from hhh.services.sweep_report import SweepReport

#: Of findings that are alike so many are printed; `--json` has more, the log all.
_SHOWN = 20


def doctor(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Also repair what the sweep finds; nothing that is good is removed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at everything a backup needs, and at what was left over: keys, scratch, stores, targets, copies, jobs."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with opened_services() as services:
        found = _examined(services, repair=repair)
        findings = list(found) if as_json else _printed(found)
    troubles = sum(not finding.ok for finding in findings)
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        console.print(f"\n{troubles} of {len(findings)} need you." if troubles else "\nAll is well.")
    if troubles:
        raise typer.Exit(1)


def _examined(services: Services, *, repair: bool) -> Iterator[Finding]:
    def sweep(down: Collection[str]) -> SweepReport:
        with working(services) as worker:
            return services.sweep.look(
                repair=repair, tidy=lambda: _tidy(services, worker), without=down, believe=repair
            )

    return examine_all(services, check_jobs=lambda: _check_jobs(services), sweep=sweep)


def _tidy(services: Services, worker: Worker) -> None:
    """Sees to the jobs of dead workers; one that only its lease gives away is watched for some seconds first."""
    deadline = time.monotonic() + worker.timing.watch + 1
    worker.tidy()
    while services.sweep.has_silent_jobs() and time.monotonic() < deadline:
        time.sleep(worker.timing.watch / 10)
        worker.tidy()


def _check_jobs(services: Services) -> None:
    from hhh.jobs import procrastinate_schema

    runtime.check(services)
    procrastinate_schema.ensure(services.settings.jobs_database_url.get_secret_value())


def _printed(found: Iterator[Finding]) -> list[Finding]:
    """Prints each as soon as it is known, but for steps of what works."""
    findings, counts = [], Counter[str]()
    for finding in found:
        if finding.is_step:
            continue
        findings.append(finding)
        # What is well is counted by its kind: of hundreds of targets the first few will do.
        alike = finding.subject.partition(" ")[0] if finding.ok and not finding.done else finding.subject
        counts[alike] += 1
        if counts[alike] <= _SHOWN:
            _print(finding)
        elif counts[alike] == _SHOWN + 1:
            console.print(f"     {escape(alike)}: … and more of these")
    return findings


def _print(finding: Finding) -> None:
    mark = "[green]ok[/]  " if finding.ok else "[bold red]FAIL[/]"
    if finding.done:
        mark = "[green]done[/]"
    done = f" → {finding.done}" if finding.done else ""
    console.print(f"{mark} {escape(finding.subject)}: {escape(finding.detail + done)}")
