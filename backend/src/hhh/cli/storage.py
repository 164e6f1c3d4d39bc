"""``hhh storage``: the stores that backups go to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.session import opened_services
from hhh.cli.typed_secrets import read_secret
from hhh.core.errors import InvalidInput
from hhh.core.files import needed
from hhh.schemas.storage import CopiesOfStore, StorageResource
from hhh.services.stores import StoreChange
from hhh.storages.options import kinds_of
from hhh.storages.registry import scheme_of

#: For those that are piped.
_PIPED = "one line for each --secret, in their order"

app = typer.Typer(help="The stores that backups go to.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name of a store; `default` is that of HHH_STORAGE_URL.")]
Given = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="One that is no secret, e.g. access_key_id=…, endpoint_url=…"),
]
Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME",
        help="A secret option, e.g. secret_access_key: it is asked for, or is the next line of standard input if that "
        "is no terminal.",
    ),
]
SecretFiles = Annotated[
    list[str] | None,
    typer.Option("--secret-file", metavar="NAME=FILE", help="A secret option that is all that a file holds."),
]


@app.callback()
def group() -> None:
    """The stores that backups go to."""


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    url: Annotated[str, typer.Argument(help="file:///folder, s3://bucket/prefix, az://container/prefix, gs://bucket")],
    *,
    option: Given = None,
    secret: Secrets = None,
    secret_file: SecretFiles = None,
    as_json: JsonOption = False,
) -> None:
    """Register a store. Without credentials of its own, those of the environment are used."""
    options = _typed_options(url, option or [], secret or [], secret_file or [])
    with opened_services() as services:
        added = services.stores.add(name, url, options)
    if as_json:
        print_json(added)
    else:
        console.print(f"Added {added.name}, untried yet. Try it now: hhh storage test {added.name}")


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List the stores."""
    with opened_services() as services:
        stores = services.stores.list()
    if as_json:
        print_json(stores)
        return
    rows = [(store.name, store.url, _credentials(store), moment(store.created_at)) for store in stores]
    print_table(["NAME", "URL", "CREDENTIALS", "ADDED (UTC)"], rows, empty="No stores.")


@app.command("show")
def show(name: Name, *, as_json: JsonOption = False) -> None:
    """Show a store; no secret is printed."""
    with opened_services() as services:
        store = services.stores.get(name)
    if as_json:
        print_json(store)
    else:
        _print(store)


@app.command("set")
def change(
    name: Name,
    *,
    url: Annotated[str | None, typer.Option(help="Another URL.")] = None,
    option: Given = None,
    secret: Secrets = None,
    secret_file: SecretFiles = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="NAME", help="An option that is to go.")] = None,
    objects_moved: Annotated[
        bool, typer.Option("--objects-moved", help="The backups that were in it are in the new place already.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Change a store; what is not named stays, but secrets go where another account or server is named."""
    with opened_services() as services:
        scheme_url = url or services.stores.get(name).url
        options = _typed_options(scheme_url, option or [], secret or [], secret_file or [])
        change = StoreChange(url, {**dict.fromkeys(unset or []), **options}, objects_moved=objects_moved)
        store = services.stores.update(name, change)
    if as_json:
        print_json(store)
        return
    console.print(f"Changed {store.name}. Try it now: hhh storage test {store.name}")
    _print(store)


@app.command("remove")
def remove(
    name: Name,
    *,
    copies: Annotated[
        CopiesOfStore | None,
        typer.Option(
            help="What becomes of the backups in it, none of which is deleted. `forget`: the catalogue has these "
            "copies no longer; `forget-backups`: nor those backups that are in no other store.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a store no more. Every object stays in it."""
    with opened_services() as services:
        removed = services.stores.remove(name, copies)
    if as_json:
        print_json(removed)
        return
    console.print(
        f"Removed {removed.name}. Copies that the catalogue has no longer: {removed.copies_forgotten}, "
        f"and backups: {removed.backups_forgotten}. Every object is still in the store."
    )


@app.command("test")
def try_out(name: Name, *, as_json: JsonOption = False) -> None:
    """Do in a store what a backup does; exit code 1 if that fails."""
    with opened_services() as services:
        tested = services.stores.test(name)
    if as_json:
        print_json(tested)
    else:
        for step in tested.steps:
            mark = "[green]ok[/]  " if step.ok else "[bold red]FAIL[/]"
            console.print(f"{mark} {escape(step.name)}: {escape(step.detail)}")
        if not tested.steps:
            console.print(f"[bold red]FAIL[/] {escape(str(tested.error))}")
    if not tested.ok:
        raise typer.Exit(1)


def _typed_options(url: str, plain: list[str], secrets: list[str], files: list[str]) -> dict[str, str]:
    secret_names = {name for name, kind in kinds_of(scheme_of(url)).items() if kind.secret}
    options = dict(_split(each, "--option") for each in plain)
    if misplaced := sorted(options.keys() & secret_names):
        raise InvalidInput(
            f"{misplaced[0]} is a secret, and other users of this machine can read arguments",
            hint=f"give --secret {misplaced[0]}; it is asked for",
        )
    for each in files:
        name, file = _split(each, "--secret-file")
        with needed(Path(file)):
            options[name] = Path(file).read_text().strip()
    return options | {name: read_secret(name, hint=_PIPED) for name in secrets}


def _split(argument: str, option: str) -> tuple[str, str]:
    name, separator, value = argument.partition("=")
    if not separator:
        raise InvalidInput(f"{option} needs a name and a value", hint=f"{option} NAME=…")
    return name, value


def _credentials(store: StorageResource) -> str:
    if store.problem is not None:
        return f"({store.problem})"
    return ", ".join(store.secrets) or "–"


def _print(store: StorageResource) -> None:
    lines = [("name", store.name), ("url", store.url), *store.options.items()]
    lines += [(name, "(set)") for name in store.secrets]
    lines += [("problem", store.problem)] if store.problem else []
    for label, value in [*lines, ("added", moment(store.created_at))]:
        console.print(f"[bold]{escape(label):28}[/] {escape(value)}")
