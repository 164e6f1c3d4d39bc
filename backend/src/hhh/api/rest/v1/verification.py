"""Verifications: asked for, followed, cancelled; and the reports that prove them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from hhh.models import JobKind, Scope, VerificationStatus
from hhh.schemas.verification import (
    AcceptedVerification,
    Level,
    Status,
    VerificationFilter,
    VerificationPage,
    VerificationResource,
    VerifyRequest,
)
from hhh.web.session import CurrentCaller, allowed
from hhh.web.sse import EVENTS, event_stream
from hhh.web.state import queue, services

router = APIRouter(prefix="/api/v1", tags=["verifications"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_RUN = [Depends(allowed(Scope.VERIFY_RUN))]


@router.post("/backups/{backup_id}/verify", dependencies=_RUN, status_code=202)
def verify(
    request: Request, response: Response, backup_id: str, asker: CurrentCaller, body: VerifyRequest | None = None
) -> AcceptedVerification:
    """Finds out what a backup is good for; without a body, by restoring it into a throw-away database."""
    jobs = queue(request)
    asked = body or VerifyRequest()
    new = services(request).verifications.request(backup_id, asked.level, requested_by=asker.email)
    return _accepted(response, jobs.enqueue(new), "queued")


@router.get("/verifications", dependencies=_READ)
def page(
    request: Request,
    target: str | None = None,
    backup_id: str | None = None,
    status: Status | None = None,
    level: Level | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> VerificationPage:
    """Verifications, running ones included, newest first; hand `next_cursor` back as `cursor` for the next page."""
    narrowed = VerificationFilter(target, backup_id, status and VerificationStatus(status), level)
    return services(request).verifications.page(narrowed, cursor=cursor, limit=limit)


@router.get("/verifications/{verification_id}", dependencies=_READ)
def show(request: Request, verification_id: str) -> VerificationResource:
    """One verification with everything that it found."""
    return services(request).verifications.get(verification_id)


@router.post("/verifications/{verification_id}/cancel", dependencies=_RUN, status_code=202)
def cancel(request: Request, response: Response, verification_id: str) -> AcceptedVerification:
    """Ends a verification that waits; asks for the end of one that runs. What is known of the backup stays."""
    state = services(request).following.cancel(JobKind.VERIFY, verification_id)
    return _accepted(response, verification_id, state)


@router.get("/verifications/{verification_id}/events", dependencies=_READ, response_class=Response, responses=EVENTS)
async def events(
    request: Request, verification_id: str, asker: CurrentCaller, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Follows a verification to its end, by Server-Sent Events: `state`, `progress`, and last `end`.

    One that is inconclusive ends as `failed`; its resource says why.
    """
    look = await run_in_threadpool(services(request).following.look, JobKind.VERIFY, verification_id)
    return event_stream(request, look, credential_id=asker.credential_id, heard=last_event_id)


def _accepted(response: Response, verification_id: str, status: str) -> AcceptedVerification:
    response.headers["Location"] = f"/api/v1/verifications/{verification_id}"
    return AcceptedVerification.model_validate({"verification_id": verification_id, "status": status})
