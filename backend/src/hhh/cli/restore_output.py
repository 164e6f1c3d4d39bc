"""How restores are printed: plans, receipts, and what stood against them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from hhh.cli.output import console, duration, moment, print_table, problems, size
from hhh.schemas.restore import Check, Plan, Receipt


def print_plan(plan: Plan, *, done: bool) -> None:
    """Prints all checks and what would happen; of what is done, only the checks that tell something."""
    told = [check for check in plan.checks if not (done and check.status == "ok")]
    if len(told) < len(plan.checks):
        console.print(f"{len(plan.checks) - len(told)} of {len(plan.checks)} checks held")
    rows = [(check.name, check.status, check.message) for check in told]
    if rows:
        print_table(["CHECK", "STATE", "FINDING"], rows, empty="")
    if plan.steps and not done:
        console.print("\nThe restore would")
        for number, step in enumerate(plan.steps, 1):
            console.print(f"  {number}. {escape(step)}")
        if plan.expected_seconds is not None:
            console.print(f"in about {duration(plan.expected_seconds)}, as long as it took before.")


def print_receipt(receipt: Receipt) -> None:
    """Prints what was restored beside what the backup has, and what is to be known of it."""
    names = list(dict.fromkeys([*receipt.source, *receipt.restored]))
    rows = [(_words(name), _number(receipt.source, name), _number(receipt.restored, name)) for name in names]
    console.print()
    print_table(["", "BACKUP", "RESTORED"], rows, empty="")
    rate = size(int(receipt.bytes_per_second))
    console.print(f"{size(receipt.raw_bytes)} in {duration(receipt.duration_seconds)}, {rate} a second")
    for warning in receipt.warnings:
        problems.print(f"[yellow]Note:[/] {escape(warning)}")
    if receipt.kept is not None:
        until = f" until {moment(receipt.kept_until)} UTC" if receipt.kept_until else ""
        console.print(f"What it replaced is kept as {escape(receipt.kept)}{until}")


def print_failure(receipt: Receipt) -> None:
    """Prints each error and difference of a restore that was given up."""
    for error in receipt.errors:
        problems.print(f"  [red]error[/] {escape(error)}")
    for each in receipt.differences:
        problems.print(f"  [red]difference[/] {escape(f'{each.name}: {each.expected} expected, {each.found} found')}")


def print_reasons(checks: Sequence[Check]) -> None:
    """Prints what stands against a restore, and what can be acknowledged."""
    problems.print("[bold red]Error:[/] The restore is not safe, and nothing was touched")
    for check in checks:
        problems.print(f"  [red]{escape(check.name)}[/] {escape(check.message)}")
        if check.acknowledge:
            problems.print(f"    → to go on in spite of it: --acknowledge {escape(check.acknowledge)}")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(numbers: dict[str, object], name: str) -> str:
    value = numbers.get(name)
    return f"{value:,}" if isinstance(value, int) else "–"
