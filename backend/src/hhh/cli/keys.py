"""``hhh keys``: the keys of this installation, and a kit to recover without it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.new_file import refuse_existing, write_new
from hhh.cli.output import JsonOption, console, print_json
from hhh.cli.secret_rotation import rotate_secret
from hhh.cli.session import opened_services
from hhh.cli.typed_secrets import read_secret
from hhh.services.recovery_kit import Keys, public_keys, recovery_kit

app = typer.Typer(help="The keys, and a kit to recover without this service.", no_args_is_help=True)
app.command("rotate-secret")(rotate_secret)


@app.command("show")
def show(*, as_json: JsonOption = False) -> None:
    """Print the public keys. None of them is a secret."""
    with opened_services() as services:
        keys = public_keys(services)
    if as_json:
        print_json(dataclasses.asdict(keys))
        return
    for name, values in _described(keys):
        console.print(f"[bold]{name:22}[/] {escape(', '.join(values)) or '–'}")


@app.command("kit")
def kit(
    to: Annotated[Path | None, typer.Option(help="A new file, made readable by you alone; default: print it.")] = None,
    *,
    with_secrets: Annotated[
        bool,
        typer.Option(
            "--with-secrets",
            help="Add the secrets, encrypted by a passphrase: asked for twice, or the first line of standard input "
            "if that is no terminal.",
        ),
    ] = False,
) -> None:
    """Write the recovery kit: all it takes to get backups back without this service, to print or keep elsewhere."""
    refuse_existing(to, hint="name a new file; an older kit may hold older keys")
    passphrase = read_secret("Passphrase", twice=True) if with_secrets else None
    with opened_services() as services:
        text = recovery_kit(services, passphrase)
    if to is None:
        sys.stdout.write(text)
        return
    write_new(to, text.encode())
    console.print(f"Wrote the recovery kit to {escape(str(to))}. Print it, or keep it on another machine.")


def _described(keys: Keys) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("installation", (keys.installation,)),
        ("signing key", (keys.signing_key,)),
        ("HHH_TRUSTED_KEYS", keys.trusted_keys),
        ("HHH_AGE_RECIPIENTS", keys.recipients),
        ("HHH_AGE_IDENTITY_FILE", keys.identities),
    ]
