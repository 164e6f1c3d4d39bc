"""A backup under way: followed and cancelled."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from hhh.models import JobKind, Scope
from hhh.schemas.backup import AcceptedResponse
from hhh.web.session import CurrentCaller, allowed
from hhh.web.sse import EVENTS, event_stream
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/backups", tags=["backups"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_RUN = [Depends(allowed(Scope.BACKUP_RUN))]


@router.get("/{backup_id}/events", dependencies=_READ, response_class=Response, responses=EVENTS)
async def events(
    request: Request, backup_id: str, asker: CurrentCaller, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Follows a backup to its end, by Server-Sent Events: `state`, `progress`, and last `end`."""
    look = await run_in_threadpool(services(request).following.look, JobKind.BACKUP, backup_id)
    return event_stream(request, look, credential_id=asker.credential_id, heard=last_event_id)


@router.post("/{backup_id}/cancel", dependencies=_RUN, status_code=202)
def cancel(request: Request, response: Response, backup_id: str) -> AcceptedResponse:
    """Ends a backup that waits; asks for the end of one that runs. Its target is free once it is `cancelled`."""
    state = services(request).following.cancel(JobKind.BACKUP, backup_id)
    response.headers["Location"] = f"/api/v1/backups/{backup_id}"
    return AcceptedResponse.model_validate({"backup_id": backup_id, "status": state})
