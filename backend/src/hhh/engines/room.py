"""Whether there is room in scratch for what a drill puts there."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.filesize import decimal

from hhh.core.errors import Lacking
from hhh.core.scratch import scratch_written


def require_room(scratch: Path, needed: int, purpose: str, *, about: bool = False) -> None:
    """Holds what a drill will take against what is free.

    Args:
        scratch: the folder of one run, below the one that the operator set.
        needed: bytes.
        purpose: what they are needed for, as it goes on after that: ``for the database``.
        about: whether the bytes are an estimate, and told as one.

    Raises:
        Lacking: it is too little, with both figures.
        ScratchError: the folder can't be asked.
    """
    with scratch_written(scratch):
        free = shutil.disk_usage(scratch).free
    if free < needed:
        told = f"about {decimal(needed)}" if about else decimal(needed)
        raise Lacking(
            f"In {scratch.parent} {decimal(free)} are free, and {told} are needed {purpose}",
            hint="make room, or set HHH_SCRATCH_DIR to a larger disk",
        )
