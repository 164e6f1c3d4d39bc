"""How verifications are printed: what was found, in sentences, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.markup import escape

from hhh.cli.output import console, duration, moment, problems, size
from hhh.core.errors import Lacking, VerificationFailed
from hhh.schemas.verification import CheckedCopy, Level, VerificationResource

#: What it means that a backup has reached a level.
_REACHED: Mapping[Level | None, str] = {
    None: "nothing",
    "stored": "every copy was read back, and is what was stored",
    "readable": "it was opened and read to its end",
    "proven": "it was restored, and is what was backed up",
}
_ENDINGS = {"failed": "The backup failed its verification", "inconclusive": "The verification is inconclusive"}


def print_verification(found: VerificationResource) -> None:
    """Prints what was found: what is good on standard output, what is not on standard error, and last what to do."""
    for copy in found.copies:
        _print_copy(copy)
    for sentence in _course(found):
        console.print(sentence, markup=False)
    _print_problems(found)
    if found.status == "success":
        console.print(f"{_subject(found)}, is {found.level}: {_REACHED[found.level]}.", markup=False)
    for step in _next_steps(found):
        problems.print(f"  → {escape(step)}")


def refuse(found: VerificationResource, *, told: bool) -> None:
    """Raises unless the level was reached; what was printed already is not said again."""
    if found.status == "success":
        return
    said = _ENDINGS.get(found.status, "The verification did not end well")
    if not (told and (found.copies or found.errors or found.lacking)):
        said = f"{said}: {found.error or found.status}"
    error = Lacking if found.status == "inconclusive" else VerificationFailed
    raise error(said, hint=f"to see it again: hhh backup verification {found.id}")


def _print_copy(copy: CheckedCopy) -> None:
    if copy.status == "good":
        console.print(f"The copy in {copy.storage} was read back ({size(copy.size)}) and is good.", markup=False)
    else:
        state = {"unreachable": "could not be reached"}.get(copy.status, f"is {copy.status}")
        problems.print(f"[bold red]The copy in {escape(copy.storage)} {state}:[/] {escape(copy.problem or '')}")


def _course(found: VerificationResource) -> Iterator[str]:
    if found.place is not None:
        source = f" from the copy in {found.restored_from}" if found.restored_from else ""
        yield f"Restored{source} into {found.place}{_pace(found)}."
    for each in found.isolation:
        yield f"Kept apart there: {each}."
    done = "Read to its end" if found.restore_seconds is None else "Compared with the source"
    for each in found.compared:
        yield f"{done}: {each}."
    for asserted in found.assertions:
        if asserted.holds:
            yield f"The assertion holds ({duration(asserted.seconds)}): {asserted.sql}"


def _pace(found: VerificationResource) -> str:
    if found.restore_seconds is None:
        return ""
    rate = found.restore_bytes_per_second
    return f", in {duration(found.restore_seconds)}" + (f" ({size(int(rate))} a second)" if rate else "")


def _print_problems(found: VerificationResource) -> None:
    for check in found.checks:
        if check.status != "ok":
            problems.print(f"[yellow]{escape(check.name)}[/] {escape(check.message)}")
    for error in found.errors:
        problems.print(f"[bold red]Error:[/] {escape(error)}")
    for each in found.differences:
        told = f"{each.name}: {each.expected} in the source, {each.found} in what was restored"
        problems.print(f"[bold red]Difference:[/] {escape(told)}")
    for asserted in found.failed_assertions:
        problems.print(
            f"[bold red]The assertion does not hold:[/] {escape(asserted.sql)}: it gave {escape(asserted.found)}"
        )
    for lacking in found.lacking:
        problems.print(f"[yellow]Not found out here:[/] {escape(lacking)}")
    for warning in found.warnings:
        problems.print(f"[yellow]Note:[/] {escape(warning)}")


def _next_steps(found: VerificationResource) -> Iterator[str]:
    if found.status == "inconclusive":
        reached = f"What was found out: {_REACHED[found.reached]}. " if found.reached else ""
        yield f"{reached}Nothing speaks against the backup. Provide what is lacking, then: {_again(found)}"
    if found.status != "failed":
        return
    if found.bad_copies and found.has_good_copy:
        yield f"Bad copies are made again from a good one by the service, or now: hhh backup repair {found.target}"
    if (found.bad_copies and not found.has_good_copy) or found.speaks_against_content:
        yield f"Don't count on this backup. Take another and verify that: hhh backup run {found.target}"
    if any(not each.holds for each in found.assertions):
        yield f"Or is an assertion wrong? Change it (hhh target set {found.target}), then: {_again(found)}"


def _again(found: VerificationResource) -> str:
    return f"hhh backup verify {found.backup_id} --level {found.level}"


def description(found: VerificationResource) -> Iterator[tuple[str, str]]:
    """What a verification was of, when, and how it ended, as names and values."""
    yield "verification", found.id
    yield "of", f"{_subject(found)} (backup {found.backup_id})"
    yield "level", found.level
    yield "state", found.status + (f": {found.error}" if found.error else "")
    yield "asked by", found.requested_by
    yield "asked", f"{moment(found.created_at)} UTC"
    yield (
        "ended",
        f"{moment(found.finished_at)} UTC"
        + (f", after {duration(found.duration_seconds)}" if found.duration_seconds is not None else ""),
    )


def _subject(found: VerificationResource) -> str:
    return f"{found.backup_file} of {found.target}, begun {moment(found.backup_created_at)} UTC"
