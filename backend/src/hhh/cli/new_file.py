"""Files that commands write where somebody names a new one: never over what is there."""

from __future__ import annotations

from pathlib import Path

from hhh.core.errors import InvalidInput
from hhh.core.files import chosen, write_private


def refuse_existing(path: Path | None, *, hint: str = "name a new file") -> None:
    """To be asked before the work whose result is written there.

    Raises:
        InvalidInput: something is there.
        ConfigurationError: the folder can't be used.
    """
    if path is None:
        return
    with chosen(path):
        exists = path.exists()
    if exists:
        raise InvalidInput(f"{path} exists already", hint=hint)


def write_new(path: Path, content: bytes) -> None:
    """Writes a private file.

    Raises:
        InvalidInput: somebody else made it meanwhile, and it stays as it is.
        ConfigurationError: it can't be written.
    """
    with chosen(path):
        write_private(path, content, exclusive=True)
        is_ours = path.read_bytes() == content
    if not is_ours:
        raise InvalidInput(f"{path} was made by somebody else meanwhile", hint="name another file")
