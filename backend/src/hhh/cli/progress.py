"""The progress bar of commands that wait for a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from hhh.cli.output import problems
from hhh.core import run


@contextlib.contextmanager
def progress_bar(subject: str, stages: Mapping[str, str]) -> Iterator[Callable[[run.Progress], None]]:
    """A bar on the terminal's standard error, none where that is no terminal; gone when the block is left.

    Args:
        subject: what the run is on.
        stages: what to call each `hhh.core.run.Progress.stage`.
    """
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=problems,
        transient=True,
        disable=not problems.is_terminal,
    )
    with bar:
        task = bar.add_task(f"{escape(subject)}: waiting", total=None)

        def observe(progress: run.Progress) -> None:
            stage = stages.get(progress.stage, progress.stage)
            bar.update(
                task,
                description=f"{escape(subject)}: {stage}",
                completed=progress.raw_bytes,
                total=progress.expected_bytes and max(progress.expected_bytes, progress.raw_bytes),
            )

        yield observe
