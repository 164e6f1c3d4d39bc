"""What pages tell of schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from hhh.console.links import link
from hhh.schemas.schedule import SchedulePreview, ScheduleResource
from hhh.schemas.verification import Level
from hhh.services.container import Services

#: Schedules on one page of the list.
PAGE = 50
_DONE: Mapping[Level | None, str] = {
    None: "Back up",
    "stored": "Check the copies of the newest backup",
    "readable": "Read the newest backup",
    "proven": "Prove the newest backup",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A schedule in the list."""

    schedule: ScheduleResource

    @property
    def what(self) -> str:
        """What it does."""
        return _DONE[self.schedule.verify]

    @property
    def result(self) -> str:
        """Where the page of its last run is; empty if it is no longer there."""
        if self.schedule.last_job_status is None:
            return ""
        return run_path(self.schedule, self.schedule.last_job_id or "")


@dataclass(frozen=True, slots=True)
class ScheduleList:
    """One page of the list."""

    lines: Sequence[Line]
    #: Only those of this target; empty: of all.
    target: str
    targets: Sequence[str]
    #: Where its pages are; empty where there is none.
    here: str
    before: str
    after: str

    @property
    def choices(self) -> list[tuple[str, str]]:
        """The targets, for a choice; also one that is asked for and not there."""
        asked = [self.target] if self.target and self.target not in self.targets else []
        return [(name, name) for name in [*self.targets, *asked]]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is to come."""

    at: datetime
    #: The same by the clock of the schedule.
    wall: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What was typed would come to."""

    words: str
    time_zone: str
    runs: Sequence[Run]
    clock_changes: Sequence[str]


def listed(services: Services, target: str, page: int) -> ScheduleList:
    """One page of the list of schedules."""
    found = services.schedules.page(target=target or None, limit=PAGE + 1, offset=(page - 1) * PAGE)
    return ScheduleList(
        lines=[Line(each) for each in found[:PAGE]],
        target=target,
        targets=services.targets.names(),
        here=_path(target, page),
        before=_path(target, page - 1) if page > 1 else "",
        after=_path(target, page + 1) if len(found) > PAGE else "",
    )


def preview_of(shown: SchedulePreview) -> Preview:
    """The next runs of a line, by its own clock as well."""
    zone = ZoneInfo(shown.time_zone)
    runs = [Run(at, f"{at.astimezone(zone):%a %d %b %Y, %H:%M %Z}") for at in shown.next_runs]
    return Preview(shown.cron_in_words, shown.time_zone, runs, shown.clock_changes)


def run_path(schedule: ScheduleResource, job_id: str) -> str:
    """The page of a backup or verification that a schedule asked for."""
    return f"/{'backups' if schedule.verify is None else 'drills'}/{job_id}"


def _path(target: str, page: int) -> str:
    return link("/schedules", {"target": target, "page": page})
