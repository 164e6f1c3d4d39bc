"""Passphrases, typed at a terminal or piped; never an argument, which others could read."""

from __future__ import annotations

import sys

import typer

from hhh.core.errors import InvalidInput


def read_passphrase(*, twice: bool = False) -> str:
    """Asks for one, or takes the first line of standard input where that is no terminal.

    Args:
        twice: a new one, that must be typed again.

    Raises:
        InvalidInput: none came.
    """
    if sys.stdin.isatty():
        return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))
    passphrase = sys.stdin.readline().rstrip("\r\n")
    if not passphrase:
        raise InvalidInput("No passphrase came on standard input", hint="one line, or run it in a terminal")
    return passphrase
