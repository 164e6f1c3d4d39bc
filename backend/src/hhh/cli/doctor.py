"""``hhh doctor``."""

from __future__ import annotations

import dataclasses

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, print_json
from hhh.cli.session import opened_services
from hhh.services.doctor import Finding, examine


def doctor(*, as_json: JsonOption = False) -> None:
    """Look at everything a backup needs: keys, scratch, stores, targets."""
    findings = []
    with opened_services() as services:
        for finding in examine(services):
            findings.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    troubles = sum(not finding.ok for finding in findings)
    if not as_json:
        console.print(f"\n{troubles} of {len(findings)} need you." if troubles else "\nAll is well.")
    if troubles:
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    mark = "[green]ok[/]  " if finding.ok else "[bold red]FAIL[/]"
    console.print(f"{mark} {escape(finding.subject)}: {escape(finding.detail)}")
