"""``hhh target``: the databases that are backed up."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, moment, print_json, print_table, size
from hhh.cli.policy_options import PolicyOptions, described, taking
from hhh.cli.session import opened_services
from hhh.cli.typed_urls import STANDARD_INPUT, has_password, note_typed_password, read_url
from hhh.schemas.target import RemovedTarget, TargetResource
from hhh.services.container import Services
from hhh.services.policies import TargetPolicy
from hhh.services.targets import resource

app = typer.Typer(help="The databases that are backed up.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name of a target; `app` is the service's own database.")]


@app.command("add")
@taking(PolicyOptions)
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    url: Annotated[
        str, typer.Argument(help="postgresql://user@host/db or sqlite:////path; `-` reads it from standard input.")
    ],
    *,
    typed: PolicyOptions,
    as_json: JsonOption = False,
) -> None:
    """Register a database."""
    policy = typed.fields(TargetPolicy())
    with opened_services() as services:
        given = read_url(url)
        services.targets.add(name, given, policy)
        added = _shown(services, name)
    _note_password(url, given)
    if as_json:
        print_json(added)
    else:
        console.print(f"Added {added.name}, untried yet. Take its first backup now: hhh backup run {added.name}")


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List the databases."""
    with opened_services() as services:
        policies = services.policies.set_policies()
        targets = [resource(each, policies.get(each.name, TargetPolicy())) for each in services.targets.list()]
    if as_json:
        print_json(targets)
        return
    rows = [
        (each.name, each.engine, _url_or_problem(each), ", ".join(each.storages), moment(each.created_at))
        for each in targets
    ]
    print_table(["NAME", "ENGINE", "URL", "STORES", "ADDED (UTC)"], rows, empty="No targets.")


@app.command("show")
def show(name: Name, *, as_json: JsonOption = False) -> None:
    """Show a database and its policy."""
    with opened_services() as services:
        shown, policy = _shown(services, name), services.policies.of(name)
    if as_json:
        print_json(shown)
        return
    head = [("name", shown.name), ("engine", shown.engine), ("url", _url_or_problem(shown))]
    for label, value in [*head, *described(policy), ("added", moment(shown.created_at))]:
        console.print(f"[bold]{label:11}[/] {escape(value)}")


@app.command("set")
@taking(PolicyOptions)
def change(
    name: Name,
    *,
    url: Annotated[
        str | None,
        typer.Option(help="Another URL; without its password the known one is kept. `-`: from standard input."),
    ] = None,
    typed: PolicyOptions,
    as_json: JsonOption = False,
) -> None:
    """Change a database's URL or policy; what is not named stays as it is."""
    with opened_services() as services:
        given = read_url(url) if url is not None else None
        services.targets.update(name, given, typed.fields(services.policies.of(name)), whole=False)
        changed, policy = _shown(services, name), services.policies.of(name)
    _note_password(url, given)
    if as_json:
        print_json(changed)
        return
    console.print(f"Changed {changed.name}.")
    for label, value in [("url", _url_or_problem(changed)), *described(policy)]:
        console.print(f"  {label:11} {escape(value)}")


@app.command("remove")
def remove(name: Name, *, as_json: JsonOption = False) -> None:
    """Register a database no more. None of its backups is deleted; its schedules go."""
    with opened_services() as services:
        removed = services.targets.remove(name)
    if as_json:
        print_json(removed)
    else:
        _print_removed(removed)


@app.command("test")
def try_out(name: Name, *, as_json: JsonOption = False) -> None:
    """Open a database, and look at it; exit code 1 if that fails."""
    with opened_services() as services:
        tested = services.targets.test(name)
    if as_json:
        print_json(tested)
    elif tested.ok:
        console.print(f"[green]ok[/]   {escape(name)}: {escape(str(tested.description))}, {size(tested.size)}")
    else:
        console.print(f"[bold red]FAIL[/] {escape(name)}: {escape(str(tested.error))}")
    if not tested.ok:
        raise typer.Exit(1)


def _shown(services: Services, name: str) -> TargetResource:
    return resource(services.targets.get(name), services.policies.of(name))


def _note_password(argument: str | None, url: str | None) -> None:
    if argument != STANDARD_INPUT and url is not None and has_password(url):
        note_typed_password()


def _url_or_problem(target: TargetResource) -> str:
    return target.url or f"({target.problem})"


def _print_removed(removed: RemovedTarget) -> None:
    console.print(f"Removed {removed.name}. Backups of it that stay: {removed.backups_kept}.")
    if removed.policy_kept:
        console.print("  Its retention goes on for them, and counts again for a target of that name.")
    for schedule in removed.schedules_removed:
        level = f", verifying: {schedule.verify}" if schedule.verify is not None else ""
        console.print(escape(f'  A schedule went with it: "{schedule.cron}" {schedule.time_zone}{level}'))
