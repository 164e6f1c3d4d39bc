"""``hhh restore --from``: a restore that needs a store and a destination only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from hhh.cli.output import console, print_json, problems
from hhh.cli.progress import progress_bar
from hhh.cli.restore_output import print_failure, print_plan, print_reasons, print_receipt
from hhh.cli.session import settings_as_they_are
from hhh.core.errors import HHHError, InvalidInput, RestoreFailed, RestoreUnsafe
from hhh.core.run import Progress, Unattended
from hhh.engines.postgresql.url import parse_url
from hhh.schemas.restore import Plan, Receipt
from hhh.services.choosing import Choice, ChosenBackup, choose
from hhh.services.restoration import Restoration, refusal
from hhh.services.standalone import Aim, known_keys, standalone


@dataclass(slots=True)
class _Outcome:
    """How far it came."""

    plan: Plan | None = None
    receipt: Receipt | None = None
    error: HHHError | None = None


class Watched(Unattended):
    """A run that somebody sits in front of: its end is an interrupt."""

    def __init__(self, observe: Callable[[Progress], None]) -> None:
        self._observe = observe

    def report(self, progress: Progress) -> None:
        """Shows it."""
        self._observe(progress)


def restore_from(choice: Choice, aim: Aim, *, keys: Sequence[str], identity_file: Path | None, as_json: bool) -> bool:
    """Restores, or plans to, and prints what came of it.

    Args:
        choice: which backup.
        aim: where to.
        keys: public keys whose signature counts, beside those of the settings.
        identity_file: instead of the settings' own.
        as_json: print one JSON document instead of tables.

    Returns:
        Whether all is well.

    Raises:
        HHHError: it failed in a way that a plan or a receipt does not show.
    """
    settings = settings_as_they_are()
    backup = choose(choice, known_keys(settings, keys))
    with (
        standalone(backup, aim, settings, identity_file=identity_file) as restoration,
        progress_bar(backup.manifest.target) as observe,
        _notes_told(),
    ):
        outcome = _run(restoration, Watched(observe), only_planned=aim.only_planned)
    if as_json:
        print_json(_document(backup, restoration, outcome))
    else:
        _print(backup, restoration, outcome)
    return _told(outcome)


def has_password(url: str) -> bool:
    """Whether a URL of a PostgreSQL database holds a password."""
    with contextlib.suppress(InvalidInput):
        return bool(parse_url(url).password)
    return False


def _run(restoration: Restoration, run: Watched, *, only_planned: bool) -> _Outcome:
    outcome = _Outcome()

    def planned(plan: Plan) -> None:
        outcome.plan = plan

    try:
        if only_planned:
            outcome.plan = restoration.plan(run)
            if outcome.plan.reasons:
                outcome.error = refusal(outcome.plan.reasons)
        else:
            outcome.receipt = restoration.perform(run, planned=planned)
    except RestoreFailed as error:
        outcome.error = error
        outcome.receipt = Receipt.model_validate(error.receipt) if error.receipt is not None else None
        _print_notes(error)
    except HHHError as error:
        if outcome.plan is None:
            raise
        outcome.error = error
        _print_notes(error)
    return outcome


@contextlib.contextmanager
def _notes_told() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        _print_notes(error)
        raise


def _print_notes(error: BaseException) -> None:
    for note in getattr(error, "__notes__", ()):
        problems.print(f"[yellow]Note:[/] {escape(note)}")


def _print(backup: ChosenBackup, restoration: Restoration, outcome: _Outcome) -> None:
    manifest, name = backup.manifest, restoration.destination.name
    if outcome.plan is not None:
        print_plan(outcome.plan, done=outcome.receipt is not None)
    if outcome.receipt is not None:
        print_receipt(outcome.receipt)
    if outcome.receipt is not None and outcome.error is None:
        console.print(
            f"Restored {manifest.backup_file} of {manifest.target} to {escape(name)}: it is as it was backed up"
        )


def _told(outcome: _Outcome) -> bool:
    """Prints what went wrong, each of it on a line; returns whether nothing did."""
    if outcome.error is None:
        return True
    if isinstance(outcome.error, RestoreUnsafe) and outcome.plan is not None:
        print_reasons(outcome.plan.reasons)
        return False
    if outcome.receipt is None:
        raise outcome.error
    problems.print("[bold red]Error:[/] The restore was given up, and what was there before is as it was")
    print_failure(outcome.receipt)
    return False


def _document(backup: ChosenBackup, restoration: Restoration, outcome: _Outcome) -> dict[str, object]:
    manifest, error = backup.manifest, outcome.error
    return {
        "backup_id": manifest.backup_id,
        "installation": manifest.installation,
        "target": manifest.target,
        "backup_file": manifest.backup_file,
        "mode": str(restoration.destination.mode),
        "destination": restoration.destination.name,
        "plan": outcome.plan and outcome.plan.model_dump(mode="json"),
        "receipt": outcome.receipt and outcome.receipt.model_dump(mode="json"),
        "error": error and str(error),
        "error_code": error and error.code,
    }
