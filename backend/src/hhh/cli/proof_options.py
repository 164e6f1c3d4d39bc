"""What is demanded of a target's backups, as options of commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hhh.cli.amounts import NONE, days_of, hours_of
from hhh.core.errors import InvalidInput
from hhh.core.text import counted, statements
from hhh.schemas.policy import Fingerprint, ProofFields
from hhh.schemas.verification import Level

#: A level as it is typed, or none.
LevelOrNone = Literal[Level, "none"]
#: Characters of an assertion that are shown.
_SHOWN = 60


# Without slots, since it is one base of two.
@dataclass(frozen=True, kw_only=True)
class ProofOptions:
    """Demands as they were typed: each field is an option, and None is what was not typed."""

    verify_after_backup: Annotated[
        LevelOrNone | None, typer.Option(help="Verify each backup at this level once it is stored.")
    ] = None
    fingerprint: Annotated[
        Fingerprint | None,
        typer.Option(help="Keep fingerprints of each table's rows, to compare with what was restored."),
    ] = None
    assertion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SQL", help="A query that must return true in what was restored; give it once for each of them."
        ),
    ] = None
    assertions_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="A file of such queries, each ended by `;` at a line's end.",
        ),
    ] = None
    no_assertions: Annotated[bool, typer.Option("--no-assertions", help="Ask nothing of what was restored.")] = False
    drill_server: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Restore drills use this target's PostgreSQL server; none: a throw-away one of their own.",
        ),
    ] = None
    drill_acknowledge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK",
            help="A check that drills go on in spite of, e.g. superuser_objects; give it once for each of them; none.",
        ),
    ] = None
    proven_within: Annotated[
        str | None, typer.Option(help="So old the newest proven backup may be, in whole days: 7d; none.")
    ] = None
    backed_up_within: Annotated[
        str | None, typer.Option(help="So old the newest good backup may be, in whole hours: 26h; none.")
    ] = None

    def demands(self) -> dict[str, Any]:
        """What was typed, by its names in `ProofFields`; None takes a demand away.

        Raises:
            InvalidInput: something typed can't be used.
        """
        given: dict[str, Any] = {}
        if self.verify_after_backup is not None:
            given["verify_after_backup"] = level_of(self.verify_after_backup)
        if self.fingerprint is not None:
            given["fingerprint"] = self.fingerprint
        if (assertions := self._assertions()) is not None:
            given["assertions"] = assertions
        if self.drill_server is not None:
            given["drill_target"] = None if self.drill_server == NONE else self.drill_server
        if self.drill_acknowledge:
            given["drill_acknowledge"] = [name for name in self.drill_acknowledge if name != NONE]
        if self.proven_within is not None:
            given["proven_within_days"] = days_of(self.proven_within, "--proven-within")
        if self.backed_up_within is not None:
            given["backed_up_within_hours"] = hours_of(self.backed_up_within, "--backed-up-within")
        return given

    def _assertions(self) -> Sequence[str] | None:
        if not self.assertion and self.assertions_file is None:
            return [] if self.no_assertions else None
        if self.no_assertions:
            raise InvalidInput("--no-assertions leaves no assertion", hint="leave it out, or the other ones")
        of_file = _statements(self.assertions_file) if self.assertions_file is not None else []
        return [*of_file, *(self.assertion or [])]


def level_of(typed: LevelOrNone) -> Level | None:
    """The level that was typed; None for `NONE`."""
    return None if typed == "none" else typed


def described(demands: ProofFields) -> Iterator[tuple[str, str]]:
    """Demands for people, long assertions shortened."""
    level = demands.verify_after_backup
    yield "verified", f"after each backup: {level}" if level else "when asked for, and by schedules"
    yield "fingerprint", f"{demands.fingerprint}, of each table's rows" if demands.fingerprint != "off" else "off"
    yield "drill on", f"the server of {demands.drill_target}" if demands.drill_target else "a throw-away server"
    if demands.drill_acknowledge:
        yield "drills accept", ", ".join(demands.drill_acknowledge)
    yield "demanded", ", ".join(_ages(demands)) or "nothing"
    for assertion in demands.assertions:
        yield "assertion", _shortened(assertion)


def _ages(demands: ProofFields) -> Iterator[str]:
    if demands.proven_within_days is not None:
        yield f"proven within {counted(demands.proven_within_days, 'day', 'days')}"
    if demands.backed_up_within_hours is not None:
        yield f"backed up within {counted(demands.backed_up_within_hours, 'hour', 'hours')}"


def _shortened(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _statements(file: Path) -> Sequence[str]:
    """The statements of a file.

    Raises:
        InvalidInput: it can't be read, is not UTF-8, or has none.
    """
    try:
        found = statements(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} can't be read: {error}") from None
    if not found:
        raise InvalidInput(f"{file} has no query", hint="end each by `;` at the end of a line")
    return found
