"""Copies that are missing: made again."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from hhh.schemas.repair import AcceptedRepair, RepairRequest
from hhh.web.session import super_admin
from hhh.web.state import queue, services

router = APIRouter(prefix="/api/v1/targets", tags=["backups"], dependencies=[Depends(super_admin)])


@router.post("/{name}/repair", status_code=202)
def repair(request: Request, name: str, body: RepairRequest | None = None) -> AcceptedRepair:
    """Makes the missing copies of a target's backups again, from good ones; each backup's `copies` tell what came."""
    jobs = queue(request)
    new_stores = body is not None and body.new_stores
    return AcceptedRepair(job_id=jobs.enqueue(services(request).repair.request(name, new_stores=new_stores)))
