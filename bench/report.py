"""What a part found, as JSON, and the tables made of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import Usage
from bench.rounds import Series, Span, ratio

RESULTS = Path(__file__).parent / "results"
#: Seconds from which times are told in seconds.
_A_WHILE = 0.5
ORDER = (
    "postgres",
    "sqlite",
    "restore-postgres",
    "restore-sqlite",
    "drill",
    "trigger",
    "catalogue",
    "console",
    "schedules",
)


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that must be reached."""

    #: What is measured: ``ours, encrypted, with facts ÷ the floor``.
    what: str
    found: Span
    limit: float
    #: ``×``, ``MiB`` or ``ms``.
    unit: str

    @property
    def reached(self) -> bool:
        """Whether the median is within the limit."""
        return self.found.median <= self.limit


@dataclass(frozen=True, slots=True)
class Line:
    """One way, in numbers that the table and the plot show."""

    name: str
    #: Seconds, in the table's own words only beside the ratio.
    wall: Span
    #: To the part's yardstick.
    ratio: Span
    cpu: Span | None = None
    server_cpu: Span | None = None
    peak_process: Span | None = None
    peak_tree: Span | None = None
    stored: Span | None = None
    runs: Sequence[Usage] = ()


def machine() -> dict[str, object]:
    """What a reader must know of the machine; nothing that names it."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "load": ", ".join(f"{each:.1f}" for each in os.getloadavg()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the benchmark found."""

    name: str
    #: What was backed up or asked, with sizes and versions.
    subject: str
    #: What ratios are ratios to.
    yardstick: str
    lines: Sequence[Line]
    goals: Sequence[Goal]
    notes: Sequence[str] = ()
    machine: Mapping[str, object] = field(default_factory=machine)


def line_of(series: Series, yardstick: Sequence[float]) -> Line:
    """The line of a series of runs."""
    wall = Span.of(series.walls)
    return Line(
        series.name,
        wall,
        ratio(series.walls, yardstick),
        series.span(lambda usage: usage.cpu),
        series.span(lambda usage: usage.server_cpu),
        series.span(lambda usage: usage.peak_process),
        series.span(lambda usage: usage.peak_tree),
        series.span(lambda usage: usage.stored),
        series.runs,
    )


def save(part: Part) -> None:
    """Keeps what a part found."""
    content = asdict(part)
    for goal, found in zip(part.goals, content["goals"], strict=True):
        found["reached"] = goal.reached
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{part.name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def markdown(parts: Iterable[Part]) -> str:
    """All tables: the ways of each part, then everything that must be reached."""
    parts = list(parts)
    return "\n\n".join([*(_ways(part) for part in parts), _goals(parts)]) + "\n"


def _ways(part: Part) -> str:
    rows = [
        [
            line.name,
            f"**{line.ratio.median:.2f}** ({line.ratio.least:.2f}–{line.ratio.greatest:.2f})",
            _wall(line.wall),
            _median(line.cpu, 1, "s"),
            _median(line.server_cpu, 1, "s"),
            _median(line.peak_process, 1 / 2**20, "MiB"),
            _median(line.peak_tree, 1 / 2**20, "MiB"),
            _median(line.stored, 1e-6, "MB"),
        ]
        for line in part.lines
    ]
    header = [
        "way",
        f"× {part.yardstick}",
        "wall",
        "CPU",
        "server's CPU",
        "peak of one process",
        "peak of all",
        "stored",
    ]
    used = [index for index in range(len(header)) if any(row[index] for row in rows)]
    table = _table([header[index] for index in used], [[row[index] for index in used] for row in rows])
    notes = "".join(f"\n\n{note}" for note in part.notes)
    where = f"{part.machine['processors']} processors, load at the end {part.machine['load']}"
    return f"### {part.name}: {part.subject}\n\n{where}\n\n{table}{notes}"


def _goals(parts: Iterable[Part]) -> str:
    rows = [
        [
            f"{part.name}: {goal.what}",
            f"{_number(goal.found.median)} ({_number(goal.found.least)}–{_number(goal.found.greatest)}) {goal.unit}",
            f"≤ {goal.limit:g} {goal.unit}",
            "yes" if goal.reached else "**no**",
        ]
        for part in parts
        for goal in part.goals
    ]
    return "### What must be reached\n\n" + _table(["what", "found (least–greatest)", "must reach", "reached"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [cells[0], ["-" * width for width in widths], *cells[1:]]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def _wall(span: Span) -> str:
    return _span(span, 1, "s") if span.median >= _A_WHILE else _span(span, 1000, "ms")


def _span(span: Span, factor: float, unit: str) -> str:
    median, least, greatest = (_number(each * factor) for each in (span.median, span.least, span.greatest))
    return f"{median} ({least}–{greatest}) {unit}"


def _median(span: Span | None, factor: float, unit: str) -> str:
    return "" if span is None else f"{_number(span.median * factor)} {unit}"


def _number(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0  # noqa: PLR2004  three digits
    return f"{value:.{decimals}f}"
