"""Schedules: when targets are backed up and verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import local_path, page_router, redirect
from hhh.console.typed import Typed, WrongFieldsError
from hhh.console.views import schedule_form, schedule_view
from hhh.console.zone import zone_of
from hhh.core.errors import NotFound
from hhh.schemas.schedule import ScheduleChange, ScheduleResource
from hhh.services import schedules
from hhh.web.forms import Fields, Form
from hhh.web.state import queue, services

router = page_router()
#: The button that shows the next runs, and saves nothing.
_SHOW = "show"


@router.get("/schedules")
def index(
    request: Request,
    target: Annotated[str, Query(max_length=63)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """Schedules in the order of their targets."""
    return page(request, "schedules", {"listed": schedule_view.listed(services(request), target, number)})


@router.get("/schedules/new")
def new(request: Request, target: Annotated[str, Query(max_length=63)] = "") -> Response:
    """The form of another one."""
    zone = zone_of(request).key
    return _form(request, schedule_form.new_form(target, zone), runs_of=(schedule_form.PROPOSED, zone))


@router.post("/schedules/new")
def add(request: Request, fields: Form) -> Response:
    """Sets a schedule up, or shows when it would run."""
    try:
        asked = schedule_form.asked_of(fields)
        if _SHOW in fields:
            return _form(request, schedule_form.form_again(fields, {}), runs_of=(asked.cron, asked.time_zone))
        services(request).schedules.add(asked)
    except WrongFieldsError as error:
        return _again(request, fields, wrong=error.errors)
    except NotFound as error:
        return _again(request, fields, wrong={"target": error.message})
    return redirect("/schedules", done="schedule-added")


@router.get("/schedules/{schedule_id}")
def show(schedule_id: str) -> Response:
    """All there is to tell of a schedule stands beside its form."""
    return redirect(f"/schedules/{schedule_id}/edit")


@router.get("/schedules/{schedule_id}/edit")
def edit(request: Request, schedule_id: str) -> Response:
    """The form of one that is there."""
    schedule = services(request).schedules.get(schedule_id)
    runs_of = schedule.cron, schedule.time_zone
    return _form(request, schedule_form.form_of(schedule), schedule=schedule, runs_of=runs_of)


@router.post("/schedules/{schedule_id}/edit")
def change(request: Request, schedule_id: str, fields: Form) -> Response:
    """Changes a schedule, or shows when it would run."""
    schedule = services(request).schedules.get(schedule_id)
    try:
        asked = schedule_form.asked_of(fields, schedule.target)
        if _SHOW in fields:
            return _form(
                request, schedule_form.form_again(fields, {}), schedule=schedule, runs_of=(asked.cron, asked.time_zone)
            )
        change = ScheduleChange.model_validate(asked.model_dump(exclude={"target"}))
        services(request).schedules.change(schedule_id, change)
    except WrongFieldsError as error:
        return _again(request, fields, wrong=error.errors, schedule=schedule)
    return redirect("/schedules", done="schedule-changed")


@router.post("/schedules/{schedule_id}/pause")
def pause(request: Request, schedule_id: str, fields: Form) -> Response:
    """Begins no run until it is resumed."""
    services(request).schedules.pause(schedule_id)
    return redirect(_back(fields), done="schedule-paused")


@router.post("/schedules/{schedule_id}/resume")
def resume(request: Request, schedule_id: str, fields: Form) -> Response:
    """Goes on with the next run."""
    services(request).schedules.resume(schedule_id)
    return redirect(_back(fields), done="schedule-resumed")


@router.post("/schedules/{schedule_id}/run")
def run(request: Request, schedule_id: str) -> Response:
    """Takes a backup now, or verifies the newest one, as the schedule would."""
    schedule = services(request).schedules.get(schedule_id)
    job_id = queue(request).enqueue(services(request).schedules.request(schedule_id))
    done = "backup-queued" if schedule.verify is None else "verify-queued"
    return redirect(schedule_view.run_path(schedule, job_id), done=done)


@router.post("/schedules/{schedule_id}/remove")
def remove(request: Request, schedule_id: str, fields: Form) -> Response:
    """Removes a schedule."""
    services(request).schedules.remove(schedule_id)
    return redirect(_back(fields), done="schedule-removed")


def _form(
    request: Request,
    form: Typed,
    *,
    schedule: ScheduleResource | None = None,
    runs_of: tuple[str, str] | None = None,
    status: int = 200,
) -> Response:
    """The form, with the runs of a line in a time zone, if there are any to be shown."""
    context = {
        "form": form,
        "line": schedule_view.Line(schedule) if schedule else None,
        "preview": schedule_view.preview_of(schedules.preview(*runs_of)) if runs_of else None,
        "targets": [(name, name) for name in services(request).targets.names()],
        "choices": schedule_form,
    }
    return page(request, "schedule_form", context, status=status)


def _again(
    request: Request, fields: Fields, *, wrong: Mapping[str, str], schedule: ScheduleResource | None = None
) -> Response:
    return _form(request, schedule_form.form_again(fields, wrong), schedule=schedule, status=422)


def _back(fields: Fields) -> str:
    back = local_path(fields.text("back"))
    return back if back.startswith("/schedules") else "/schedules"
