"""The runbook's three endpoints, and the rich resource beside them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from hhh.core.errors import BackupFailed
from hhh.jobs.base import JobQueue
from hhh.models import Scope
from hhh.schemas.backup import (
    AcceptedResponse,
    BackupPage,
    BackupQuery,
    BackupResource,
    LogEntry,
    StatsResponse,
    TriggerRequest,
    TriggerResponse,
)
from hhh.web.session import allowed
from hhh.web.state import queue, services

router = APIRouter(prefix="/api/v1/backups", tags=["backups"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_RUN = [Depends(allowed(Scope.BACKUP_RUN))]


@router.post(
    "/trigger", dependencies=_RUN, response_model=TriggerResponse, responses={202: {"model": AcceptedResponse}}
)
async def trigger(
    request: Request,
    body: TriggerRequest | None = None,
    prefer: Annotated[str, Header()] = "",
) -> TriggerResponse | Response:
    """Takes a backup and answers when it is stored; with `Prefer: respond-async`, as soon as it is queued."""
    jobs = await run_in_threadpool(queue, request)
    backup_id = await run_in_threadpool(_enqueue, request, jobs, (body or TriggerRequest()).target)
    if "respond-async" in prefer.lower():
        return _accepted(backup_id)
    await jobs.finished(backup_id)
    backup = await run_in_threadpool(services(request).catalogue.get, backup_id)
    if backup.status != "success":
        raise BackupFailed(backup.error or _unfinished(backup))
    return TriggerResponse(backup_file=backup.backup_file, backup_size=backup.stored_size, backup_id=backup.id)


@router.get("/logs", dependencies=_READ)
def logs(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> list[LogEntry]:
    """Finished backups of all targets, newest first."""
    return services(request).catalogue.logs(limit=limit, offset=offset)


@router.get("/stats", dependencies=_READ)
def stats(request: Request) -> StatsResponse:
    """Totals over finished backups, and the newest successful one."""
    return services(request).catalogue.stats()


@router.get("", dependencies=_READ)
def page(request: Request, asked: Annotated[BackupQuery, Query()]) -> BackupPage:
    """Backups, running ones included, newest first; hand `next_cursor` back as `cursor` for the next page."""
    return services(request).catalogue.page(asked.narrowed, sort=asked.sort, cursor=asked.cursor, limit=asked.limit)


@router.get("/{backup_id}", dependencies=_READ)
def show(request: Request, backup_id: str) -> BackupResource:
    """One backup with everything its manifest holds."""
    return services(request).catalogue.get(backup_id)


def _enqueue(request: Request, jobs: JobQueue, target: str) -> str:
    return jobs.enqueue(services(request).backups.request(target))


def _unfinished(backup: BackupResource) -> str:
    where = f"/api/v1/backups/{backup.id}"
    if backup.status == "queued":
        return f"the service was stopped before it had ended; it goes on as soon as a worker is there, see {where}"
    return f"it is {backup.status} still; see {where}"


def _accepted(backup_id: str) -> Response:
    answer = AcceptedResponse(backup_id=backup_id, status="queued")
    return Response(
        answer.model_dump_json(),
        status_code=202,
        media_type="application/json",
        headers={"Location": f"/api/v1/backups/{backup_id}", "Preference-Applied": "respond-async"},
    )
