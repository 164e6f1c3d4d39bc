"""``hhh restore``: bring a backup back, with a catalogue or from a store alone; look at restores, and undo them."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from hhh.cli.catalogue_restore import LATEST, print_restore, print_restores, restore_known, undo_restore
from hhh.cli.output import JsonOption
from hhh.cli.standalone_restore import has_password, restore_from
from hhh.cli.typed_urls import STANDARD_INPUT, note_typed_password, read_url
from hhh.core.errors import InvalidInput
from hhh.engines.restoring import RestoreMode
from hhh.schemas.restore import RestoreRequest
from hhh.services.choosing import Choice
from hhh.services.standalone import Aim

_RUN: Final = "run"
_FAILED: Final = 1
_STORE_ONLY: Final = "Only with --from: "
#: A comma between names, not one within quotes.
_NAMES: Final = re.compile(r'(?:"(?:[^"]|"")*"|[^,"])+')


class _Direct(TyperGroup):
    """A group whose command ``run`` needs no name: ``hhh restore latest``, ``hhh restore --from …``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Direct,
    no_args_is_help=True,
    help="Bring backups back: `hhh restore latest --target app --to FILE`, or without an installation "
    "`hhh restore --from file:///folder --to FILE`. `hhh restore run --help` shows all options.",
)


@app.command(_RUN)
def run(  # noqa: PLR0913  options of a command
    backup: Annotated[
        str | None, typer.Argument(help="The id of a backup, or `latest` of the target.", show_default=LATEST)
    ] = None,
    *,
    source: Annotated[
        str | None, typer.Option("--from", help="A store or one manifest in it, by URL: no catalogue is needed.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="The new database's name or the new file. With --from: a path, or postgresql://user@host/name; "
            "`-` reads it from standard input."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The target on whose server or in whose folder it goes; with --from: of which.")
    ] = None,
    tables: Annotated[
        list[str] | None, typer.Option(help="Only these tables or schemas: `schema.table`, quoted as in SQL.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of the live database.")] = False,
    confirm: Annotated[
        str | None, typer.Option(help="With --replace: the target's name, typed; with --from the database's or file's.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Check everything and say what would happen; no more.")] = False,
    acknowledge: Annotated[
        list[str] | None, typer.Option(help="Go on in spite of this check; may be given several times.")
    ] = None,
    backup_file: Annotated[
        str | None, typer.Option("--backup", help=f"{_STORE_ONLY}the name of a backup, or `latest`.")
    ] = None,
    installation: Annotated[str | None, typer.Option(help=f"{_STORE_ONLY}the id of the installation.")] = None,
    identity: Annotated[Path | None, typer.Option(help=f"{_STORE_ONLY}the age identity file that opens it.")] = None,
    trusted_key: Annotated[
        list[str] | None, typer.Option(help=f"{_STORE_ONLY}a public key whose signature counts; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup back: checked first, built beside its destination, compared, and only then put in place."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = tuple(name.strip() for each in tables or () for name in _NAMES.findall(each))
    accepted = frozenset(acknowledge or ())
    # A plan without a destination is about what would be replaced.
    mode = _mode(replace=replace or (plan and to is None and not wanted), tables=wanted)
    if source is None:
        _refuse_store_options(backup_file, installation, identity, trusted_key)
        asked = RestoreRequest(
            backup_id=backup or LATEST,
            mode=mode.value,
            destination=to,
            target=target,
            tables=list(wanted),
            confirm=confirm,
            dry_run=plan,
            acknowledge=sorted(accepted),
        )
        well = restore_known(asked, as_json=as_json)
    else:
        aim = Aim(_typed_destination(to, backup), mode, confirm, wanted, accepted, only_planned=plan)
        choice = Choice(source, installation, target, None if backup_file == LATEST else backup_file)
        well = restore_from(choice, aim, keys=trusted_key or (), identity_file=identity, as_json=as_json)
    if not well:
        raise typer.Exit(_FAILED)


@app.command("list")
def index(
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List restores, newest first."""
    print_restores(limit, as_json=as_json)


@app.command("show")
def show(
    restore_id: Annotated[str, typer.Argument(help="The id of a restore.")], *, as_json: JsonOption = False
) -> None:
    """Show one restore with its checks and its receipt."""
    print_restore(restore_id, as_json=as_json)


@app.command("undo")
def undo(
    restore_id: Annotated[str, typer.Argument(help="The id of a restore.")], *, as_json: JsonOption = False
) -> None:
    """Bring back what a restore replaced; what the restore brought is kept in its turn."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not undo_restore(restore_id, as_json=as_json):
        raise typer.Exit(_FAILED)


def _mode(*, replace: bool, tables: tuple[str, ...]) -> RestoreMode:
    if replace and tables:
        raise InvalidInput("--replace takes the whole backup", hint="restore --tables into a database of its own")
    if tables:
        return RestoreMode.TABLES
    return RestoreMode.REPLACE if replace else RestoreMode.NEW


def _typed_destination(to: str | None, backup: str | None) -> str:
    """Where a restore with --from goes, as `--to` names it."""
    if backup is not None:
        raise InvalidInput("With --from, the backup is named by --backup", hint="the newest is taken without it")
    if to is None:
        raise InvalidInput("A restore with --from needs --to", hint="a path, or postgresql://user@host/name")
    url = read_url(to)
    if to != STANDARD_INPUT and has_password(url):
        note_typed_password()
    return url


def _refuse_store_options(*options: object) -> None:
    if any(option is not None for option in options):
        names = "--backup, --installation, --identity and --trusted-key"
        raise InvalidInput(f"{names} choose from a store, which --from names")
