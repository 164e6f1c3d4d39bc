"""The option of commands that run jobs of some queues alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import typer

from hhh.core.config import QUEUE_NAMES, Settings


def _checked(given: str | None) -> str | None:
    if given is not None and (not _names(given) or not {*_names(given)} <= {*QUEUE_NAMES}):
        raise typer.BadParameter(f"name some of {', '.join(QUEUE_NAMES)}, comma-separated")
    return given


#: To be applied by `with_queues`.
QueuesOption = Annotated[
    str | None,
    typer.Option(
        callback=_checked,
        help="Take only these jobs, comma-separated: backup, restore, verify, upkeep (prune, repair, sweep). "
        "Instead of HHH_WORKER_QUEUES; default: all.",
    ),
]


def with_queues(loaded: Settings, queues: str | None) -> Settings:
    """The settings with what `QueuesOption` was given."""
    return loaded if queues is None else loaded.model_copy(update={"worker_queues": _names(queues)})


def said(queues: Collection[str]) -> str:
    """Queues for people."""
    return "all" if {*queues} == {*QUEUE_NAMES} else ",".join(queues)


def _names(queues: str) -> list[str]:
    return [name for part in queues.split(",") if (name := part.strip())]
