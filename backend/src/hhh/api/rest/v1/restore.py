"""Restores: asked for, looked at, cancelled, taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from hhh.models import JobKind, Scope
from hhh.schemas.restore import AcceptedRestore, RestorePage, RestoreRequest, RestoreResource
from hhh.web.session import CurrentCaller, allowed
from hhh.web.sse import EVENTS, event_stream
from hhh.web.state import client_address, queue, services

router = APIRouter(prefix="/api/v1/restores", tags=["restores"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_RUN = [Depends(allowed(Scope.RESTORE_RUN))]


@router.post("", dependencies=_RUN, status_code=202)
def restore(request: Request, response: Response, body: RestoreRequest, asker: CurrentCaller) -> AcceptedRestore:
    """Restores a backup, or plans it with `dry_run`; 409 with every reason where it is not safe."""
    jobs = queue(request)
    new = services(request).restores.request(body, requested_by=asker.email, address=client_address(request))
    return _accepted(response, jobs.enqueue(new))


@router.get("", dependencies=_READ)
def page(
    request: Request,
    dry_run: bool | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> RestorePage:
    """Restores, running ones included, newest first; hand `next_cursor` back as `cursor` for the next page.

    `dry_run` leaves what only looked (true), or what restored (false).
    """
    return services(request).restores.page(dry_run=dry_run, cursor=cursor, limit=limit)


@router.get("/{restore_id}", dependencies=_READ)
def show(request: Request, restore_id: str) -> RestoreResource:
    """One restore with its plan and its receipt."""
    return services(request).restores.get(restore_id)


@router.post("/{restore_id}/undo", dependencies=_RUN, status_code=202)
def undo(request: Request, response: Response, restore_id: str, asker: CurrentCaller) -> AcceptedRestore:
    """Brings back what a restore replaced, and keeps what that replaces."""
    jobs = queue(request)
    new = services(request).restores.undo(restore_id, requested_by=asker.email, address=client_address(request))
    return _accepted(response, jobs.enqueue(new))


@router.post("/{restore_id}/cancel", dependencies=_RUN, status_code=202)
def cancel(request: Request, response: Response, restore_id: str) -> AcceptedRestore:
    """Ends a restore that waits; asks for the end of one that runs. What was there before stays."""
    state = services(request).following.cancel(JobKind.RESTORE, restore_id)
    response.headers["Location"] = _location(restore_id)
    return AcceptedRestore.model_validate({"restore_id": restore_id, "status": state})


@router.get("/{restore_id}/events", dependencies=_READ, response_class=Response, responses=EVENTS)
async def events(
    request: Request, restore_id: str, asker: CurrentCaller, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Follows a restore to its end, by Server-Sent Events: `state`, `progress`, and last `end`."""
    look = await run_in_threadpool(services(request).following.look, JobKind.RESTORE, restore_id)
    return event_stream(request, look, credential_id=asker.credential_id, heard=last_event_id)


def _accepted(response: Response, restore_id: str) -> AcceptedRestore:
    response.headers["Location"] = _location(restore_id)
    return AcceptedRestore(restore_id=restore_id, status="queued")


def _location(restore_id: str) -> str:
    return f"/api/v1/restores/{restore_id}"
