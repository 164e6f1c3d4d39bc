"""Restores: asked for, looked at, cancelled, taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hhh.schemas.restore import AcceptedRestore, RestorePage, RestoreRequest, RestoreResource
from hhh.web.session import SuperAdmin, super_admin
from hhh.web.state import client_address, queue, services

router = APIRouter(prefix="/api/v1/restores", tags=["restores"], dependencies=[Depends(super_admin)])


@router.post("", status_code=202)
def restore(request: Request, response: Response, body: RestoreRequest, admin: SuperAdmin) -> AcceptedRestore:
    """Restores a backup, or plans it with `dry_run`; 409 with every reason where it is not safe."""
    jobs = queue(request)
    new = services(request).restores.request(body, requested_by=admin.email, address=client_address(request))
    return _accepted(response, jobs.enqueue(new))


@router.get("")
def page(request: Request, cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> RestorePage:
    """Restores, running ones included, newest first; hand `next_cursor` back as `cursor` for the next page."""
    return services(request).restores.page(cursor=cursor, limit=limit)


@router.get("/{restore_id}")
def show(request: Request, restore_id: str) -> RestoreResource:
    """One restore with its plan and its receipt."""
    return services(request).restores.get(restore_id)


@router.post("/{restore_id}/undo", status_code=202)
def undo(request: Request, response: Response, restore_id: str, admin: SuperAdmin) -> AcceptedRestore:
    """Brings back what a restore replaced, and keeps what that replaces."""
    jobs = queue(request)
    new = services(request).restores.undo(restore_id, requested_by=admin.email, address=client_address(request))
    return _accepted(response, jobs.enqueue(new))


@router.post("/{restore_id}/cancel", status_code=202)
def cancel(request: Request, response: Response, restore_id: str) -> AcceptedRestore:
    """Asks for the end of a restore that waits or runs; what was there before stays."""
    accepted = services(request).restores.cancel(restore_id)
    response.headers["Location"] = _location(accepted.restore_id)
    return accepted


def _accepted(response: Response, restore_id: str) -> AcceptedRestore:
    response.headers["Location"] = _location(restore_id)
    return AcceptedRestore(restore_id=restore_id, status="queued")


def _location(restore_id: str) -> str:
    return f"/api/v1/restores/{restore_id}"
