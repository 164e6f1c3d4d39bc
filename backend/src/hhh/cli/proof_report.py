"""``hhh backup report`` and ``check-report``: what a verification found, signed, and whether that is still so."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.new_file import refuse_existing, write_new
from hhh.cli.output import JsonOption, console, moment, print_json, problems
from hhh.cli.session import opened_services
from hhh.core.errors import InvalidInput, ReportInvalid
from hhh.schemas.proof_report import ProofReport
from hhh.services.proof_page import title_of
from hhh.services.proof_report import check, page
from hhh.services.trust import is_public_key, trusted_keys


class Form(StrEnum):
    """How a report is written."""

    HTML = "html"
    JSON = "json"


def report(
    verification_id: Annotated[str, typer.Argument(help="The id of a verification that has ended.")],
    *,
    form: Annotated[
        Form, typer.Option("--format", help="html: a page to print, with the signed data in it; json: the data alone.")
    ] = Form.HTML,
    output: Annotated[Path | None, typer.Option(help="A new file; default: print it.")] = None,
) -> None:
    """Write the signed report of a verification, to hand to somebody who was not there."""
    refuse_existing(output)
    with opened_services() as services:
        content = services.proof_reports.issue(verification_id)
    content = page(content) if form is Form.HTML else content
    if output is None:
        typer.echo(content, nl=False)
        return
    write_new(output, content)
    check_it = f"hhh backup check-report {output} --key KEY"
    console.print(
        f"Wrote the report to {output}. Whoever has it and your signing key's public half (hhh keys show) can check "
        f"it: {check_it}",
        markup=False,
    )


def check_report(
    file: Annotated[Path, typer.Argument(help="A report, as page or as JSON.")],
    *,
    key: Annotated[
        str | None,
        typer.Option(
            help="The public key of whoever issued it, as `hhh keys show` has it; default: the keys trusted here."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a report is as it was issued, and tell what it proves; exit code 1 if anything of it was changed.

    With --key no installation is needed.
    """
    content = _content(file)
    try:
        found = check(content, _keys(key))
    except ReportInvalid as error:
        problems.print(f"[bold red]Not genuine:[/] {escape(error.message)}")
        if error.hint:
            problems.print(f"  → {escape(error.hint)}")
        raise typer.Exit(1) from None
    if as_json:
        print_json(found)
    else:
        _print(found)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {error.strerror}") from None


def _keys(key: str | None) -> frozenset[str]:
    if key is None:
        with opened_services() as services:
            return trusted_keys(services.settings, services.identity)
    if not is_public_key(key):
        raise InvalidInput("--key is no Ed25519 public key", hint="44 characters of base64, as `hhh keys show` has it")
    return frozenset({key})


def _print(found: ProofReport) -> None:
    verification, backup = found.verification, found.backup
    console.print("[green]Genuine:[/] nothing of it was changed since it was issued. It says:")
    console.print(f"  [bold]{title_of(found)}[/]")
    for label, value in (
        ("database", backup.target),
        ("backup", f"{backup.backup_file}, taken {moment(backup.created_at)} UTC, id {backup.id}"),
        ("object", backup.manifest.object.key if backup.manifest else "–"),
        ("sha256", backup.manifest.object.sha256 if backup.manifest else "–"),
        ("verified", f"{moment(verification.finished_at)} UTC, level {verification.level}"),
        ("reason", verification.reason or "–"),
        ("by", f"installation {found.installation}, release {found.product_version}"),
    ):
        console.print(f"  {label:9} {value}", markup=False)
