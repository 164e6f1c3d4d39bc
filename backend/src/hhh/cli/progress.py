"""The progress bars of commands that wait for a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta

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

from hhh.cli.output import problems, size
from hhh.core import run
from hhh.schemas.following import News


@contextlib.contextmanager
def following_bar() -> Iterator[Callable[[News], None]]:
    """A bar as `progress_bar` has it, of a job that another process runs: rate and time left are what that one says."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}"),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
        console=problems,
        transient=True,
        disable=not problems.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=None, rate="", left="")

        def observe(news: News) -> None:
            told = news.progress
            bar.update(
                task,
                description=f"{escape(news.target)}: {escape(_doing(news))}",
                completed=told.raw_bytes if told else 0,
                total=max(told.expected_bytes, told.raw_bytes) if told and told.expected_bytes else None,
                rate=f"{size(told.bytes_per_second)}/s" if told and told.bytes_per_second is not None else "",
                left=f"{timedelta(seconds=told.seconds_left)} left" if told and told.seconds_left is not None else "",
            )

        yield observe


def _doing(news: News) -> str:
    if news.cancel_requested:
        return "ending, since it was cancelled"
    if news.retry is not None:
        return f"waiting for attempt {news.retry.attempt}, since the last one ended: {news.retry.error}"
    doing = news.progress.doing if news.progress else ""
    return doing or ("waiting" if news.status == "queued" else "begun")


@contextlib.contextmanager
def progress_bar(subject: str) -> Iterator[Callable[[run.Progress], None]]:
    """A bar of the run on a subject, on the terminal's standard error, if it is one; gone when the block is left."""
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
            bar.update(
                task,
                description=f"{escape(subject)}: {run.stage_in_words(progress.stage)}",
                completed=progress.raw_bytes,
                total=progress.expected_bytes and max(progress.expected_bytes, progress.raw_bytes),
            )

        yield observe
