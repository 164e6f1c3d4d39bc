"""When targets are backed up or verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hhh.models import JobKind, Scope
from hhh.schemas.backup import AcceptedResponse
from hhh.schemas.schedule import (
    CronLine,
    ScheduleChange,
    SchedulePreview,
    ScheduleRequest,
    ScheduleResource,
    TimeZone,
)
from hhh.schemas.verification import AcceptedVerification
from hhh.services import schedules
from hhh.web.session import CurrentCaller, allowed, demand
from hhh.web.state import queue, services

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_ADMIN = [Depends(allowed(Scope.ADMIN))]
_RUN = [Depends(allowed(Scope.BACKUP_RUN, Scope.VERIFY_RUN))]
#: Of these two, by what a schedule does.
_NEEDED = {JobKind.BACKUP: Scope.BACKUP_RUN, JobKind.VERIFY: Scope.VERIFY_RUN}


@router.post("", dependencies=_ADMIN, status_code=201)
def add(request: Request, response: Response, body: ScheduleRequest) -> ScheduleResource:
    """Sets a schedule up for a target."""
    added = services(request).schedules.add(body)
    response.headers["Location"] = f"/api/v1/schedules/{added.id}"
    return added


@router.get("", dependencies=_READ)
def index(
    request: Request,
    target: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Sequence[ScheduleResource]:
    """Schedules in the order of their targets."""
    return services(request).schedules.page(target=target, limit=limit, offset=offset)


@router.get("/preview", dependencies=_READ)
def preview(cron: Annotated[CronLine, Query()], time_zone: Annotated[TimeZone, Query()] = "UTC") -> SchedulePreview:
    """The next five runs of a line, without a schedule."""
    return schedules.preview(cron, time_zone)


@router.get("/{schedule_id}", dependencies=_READ)
def show(request: Request, schedule_id: str) -> ScheduleResource:
    """One schedule."""
    return services(request).schedules.get(schedule_id)


@router.patch("/{schedule_id}", dependencies=_ADMIN)
def change(request: Request, schedule_id: str, body: ScheduleChange) -> ScheduleResource:
    """Changes what is given; its next run is planned anew from now on."""
    return services(request).schedules.change(schedule_id, body)


@router.delete("/{schedule_id}", dependencies=_ADMIN, status_code=204)
def remove(request: Request, schedule_id: str) -> None:
    """Removes a schedule; the backups and verifications that it asked for stay."""
    services(request).schedules.remove(schedule_id)


@router.post("/{schedule_id}/pause", dependencies=_ADMIN)
def pause(request: Request, schedule_id: str) -> ScheduleResource:
    """Begins no run until it is resumed; what runs goes on."""
    return services(request).schedules.pause(schedule_id)


@router.post("/{schedule_id}/resume", dependencies=_ADMIN)
def resume(request: Request, schedule_id: str) -> ScheduleResource:
    """Goes on with the next instant; what was missed while it was paused is not caught up."""
    return services(request).schedules.resume(schedule_id)


@router.post("/{schedule_id}/run", dependencies=_RUN, status_code=202)
def run(
    request: Request, response: Response, asker: CurrentCaller, schedule_id: str
) -> AcceptedResponse | AcceptedVerification:
    """Takes a backup now, or verifies the newest one, as the schedule would; its plan stays."""
    new = services(request).schedules.request(schedule_id)
    demand(asker, _NEEDED[new.kind])
    job_id = queue(request).enqueue(new)
    if new.kind == JobKind.VERIFY:
        response.headers["Location"] = f"/api/v1/verifications/{job_id}"
        return AcceptedVerification(verification_id=job_id, status="queued")
    response.headers["Location"] = f"/api/v1/backups/{job_id}"
    return AcceptedResponse(backup_id=job_id, status="queued")
