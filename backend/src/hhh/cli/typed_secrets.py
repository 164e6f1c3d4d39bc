"""Secrets, typed at a terminal or piped; never an argument, which others could read."""

from __future__ import annotations

import sys

import typer

from hhh.core.errors import InvalidInput


def read_secret(name: str, *, twice: bool = False, hint: str = "one line, or run it in a terminal") -> str:
    """Asks for one, or takes the next line of standard input where that is no terminal.

    Args:
        name: what is asked for.
        twice: a new one, that must be typed again.
        hint: what to do where none came.

    Raises:
        InvalidInput: none came.
    """
    if sys.stdin.isatty():
        # Not on standard output: that may be a file.
        return str(typer.prompt(name, hide_input=True, confirmation_prompt=twice, err=True))
    secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise InvalidInput(f"No {name[:63].lower()} came on standard input", hint=hint)
    return secret
