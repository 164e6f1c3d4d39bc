"""The last days of targets as they are drawn: a time line each, and charts of what their backups were like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from urllib.parse import quote

from hhh.console import words
from hhh.console.views import charts
from hhh.console.views.charts import Bars
from hhh.services.container import Services
from hhh.services.history import Figures, Outcomes, TargetHistory


@dataclass(frozen=True, slots=True)
class Kind:
    """What can become of a backup."""

    #: Of the class of its drawing.
    name: str
    #: In a sentence: ``3 proven``.
    word: str
    told: str
    #: How narrow it is drawn, so that it is known without its colour.
    inset: float


#: From the ground of a stack up.
KINDS = (
    Kind("proven", "proven", "Proven: a drill has restored it", 0),
    Kind("ok", "stored", "Stored, not proven", 5),
    Kind("removed", "no longer kept", "Stored, no longer kept", 10),
    Kind("missed", "missed", "Missed: its schedule named it, and it never began", 1),
    Kind("failed", "failed", "Failed", 0),
)
_INSETS = tuple(kind.inset for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Cell:
    """One day of one target."""

    #: ``3 proven, 1 failed``; empty where there was nothing.
    told: str
    #: The same with its day.
    on_hover: str
    #: The backups of that day.
    href: str
    #: Of each of `KINDS` that there was: its name and its path.
    paths: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Row:
    """One target."""

    target: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure, day by day."""

    title: str
    #: Tells a value, with the exact one on hover.
    told: Callable[[float | None], object]
    #: Tells it as plain text.
    plain: Callable[[float], str]
    #: Of the days of which there is one.
    values: Sequence[tuple[date, float]]
    drawn: Bars | None


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The last days of some targets."""

    #: The oldest first, today last.
    days: Sequence[date]
    rows: Sequence[Row]
    charts: Sequence[Chart]

    @property
    def kinds(self) -> Sequence[Kind]:
        """For the legend."""
        return KINDS


def history_of(services: Services, targets: Sequence[str]) -> HistoryView:
    """The last days of some targets, as the macros of `charts.html.j2` draw them."""
    history = services.history.of(targets)
    days = [f"{day.day} {day:%b}" for day in history.days]
    return HistoryView(
        days=history.days,
        rows=[_row(each, history.days, days) for each in history.targets],
        charts=_charts(history.days, history.figures),
    )


def _row(history: TargetHistory, days: Sequence[date], names: Sequence[str]) -> Row:
    target = quote(history.target)
    cells = (
        _cell(name, f"/backups?target={target}&from={day}&to={day}", outcomes)
        for day, name, outcomes in zip(days, names, history.outcomes, strict=True)
    )
    return Row(history.target, [*cells])


def _cell(day: str, href: str, outcomes: Outcomes) -> Cell:
    counts = (outcomes.proven, outcomes.ok, outcomes.removed, outcomes.missed, outcomes.failed)
    told, paths = _drawn(counts)
    return Cell(told, f"{day}: {told}", href, paths)


@lru_cache(maxsize=1024)  # one day is like most others
def _drawn(counts: tuple[int, ...]) -> tuple[str, Sequence[tuple[str, str]]]:
    told = ", ".join(f"{count} {kind.word}" for kind, count in zip(KINDS, counts, strict=True) if count)
    paths = charts.stack(counts, _INSETS)
    return told, [(kind.name, path) for kind, path in zip(KINDS, paths, strict=True) if path]


def _charts(days: Sequence[date], figures: Sequence[Figures]) -> Sequence[Chart]:
    stored, seconds, rates = (
        [each.stored_bytes for each in figures],
        [each.seconds for each in figures],
        [each.bytes_per_second for each in figures],
    )
    return [
        Chart("Stored a day", words.size, words.bytes_in_words, *_bars(days, stored, charts.round_number)),
        Chart("Duration of a backup", words.span, words.seconds_in_words, *_bars(days, seconds, charts.round_seconds)),
        Chart("Rate of a backup", words.rate, _rate_in_words, *_bars(days, rates, charts.round_number)),
    ]


def _bars(
    days: Sequence[date], values: Sequence[float | None], top_of: Callable[[float], float]
) -> tuple[Sequence[tuple[date, float]], Bars | None]:
    there = [(day, value) for day, value in zip(days, values, strict=True) if value is not None]
    return there, charts.bars(values, top_of)


def _rate_in_words(per_second: float) -> str:
    return f"{words.bytes_in_words(per_second)}/s"
