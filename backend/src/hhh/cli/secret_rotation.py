"""``hhh keys rotate-secret``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.output import JsonOption, console, print_json, problems
from hhh.cli.session import own_database, settings
from hhh.cli.typed_urls import STANDARD_INPUT
from hhh.core.config import Settings
from hhh.core.errors import InvalidInput
from hhh.core.files import chosen, needed, write_private
from hhh.services.secret_rotation import Rotation, kept_key, new_key, rotate


def rotate_secret(
    new_key_file: Annotated[
        str | None,
        typer.Option(
            "--new-key-file",
            help="A file with the new key, or a new file to which one that is made is written, for you alone to read; "
            "`-`: the key is the first line of standard input. Needed where HHH_SECRET_KEY is set.",
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Encrypt all stored secrets with a new HHH_SECRET_KEY, and end all sessions. Restart every process afterwards."""
    loaded = settings()
    with own_database(loaded) as database:
        key = _read_or_make(loaded, new_key_file)
        rotation = rotate(loaded, database, key)
    if as_json:
        print_json(dataclasses.asdict(rotation))
    else:
        _print(rotation, loaded, new_key_file)
    for owner in rotation.left:
        problems.print(
            f"[yellow]Note:[/] The stored secret of {escape(owner)} is as it was: the old key never opened it."
        )


def _read_or_make(loaded: Settings, file: str | None) -> str:
    if file == STANDARD_INPUT:
        return _checked(sys.stdin.readline(), "standard input")
    if file is not None:
        path = Path(file)
        with chosen(path):
            if not path.exists():
                write_private(path, f"{new_key()}\n".encode(), exclusive=True)
        with needed(path):
            return _checked(path.read_text(), file)
    if kept_key(loaded) is None:
        raise InvalidInput(
            "HHH_SECRET_KEY is set, and only you can change it", hint="name a file for the new key: --new-key-file FILE"
        )
    return new_key()


def _checked(content: str, where: str) -> str:
    key = content.strip()
    if not key:
        raise InvalidInput(f"There is no key in {where}", hint="one line")
    return key


def _print(rotation: Rotation, loaded: Settings, file: str | None) -> None:
    console.print(
        f"Encrypted with the new key: {rotation.targets} target(s), {rotation.stores} store(s), "
        f"{rotation.second_factors} second factor(s), {rotation.channels} alert channel(s). All sessions ended."
    )
    path = kept_key(loaded)
    if path is not None:
        console.print(f"The new key is in {escape(str(path))}.")
    else:
        where = "the new key" if file in {None, STANDARD_INPUT} else f"what is in {escape(str(file))}"
        console.print(f"Set HHH_SECRET_KEY to {where} now, on every machine.")
    console.print(
        "Restart `hhh serve` and every `hhh worker`: until then their backups fail. A recovery kit with secrets that "
        "was printed before has the old key: print a new one."
    )
