"""Copies that are missing: made again."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from hhh.models import Scope
from hhh.schemas.base import AcceptedJob
from hhh.schemas.repair import RepairRequest
from hhh.web.session import allowed
from hhh.web.state import queue, services

router = APIRouter(prefix="/api/v1/targets", tags=["backups"], dependencies=[Depends(allowed(Scope.ADMIN))])


@router.post("/{name}/repair", status_code=202)
def repair(request: Request, response: Response, name: str, body: RepairRequest | None = None) -> AcceptedJob:
    """Makes the missing copies of a target's backups again, from good ones; each backup's `copies` tell what came."""
    jobs = queue(request)
    new_stores = body is not None and body.new_stores
    job_id = jobs.enqueue(services(request).repair.request(name, new_stores=new_stores))
    response.headers["Location"] = f"/api/v1/backups?target={name}"
    return AcceptedJob(job_id=job_id)
