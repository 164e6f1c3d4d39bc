"""What is kept of a target's backups, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hhh.models import Scope
from hhh.schemas.base import AcceptedJob
from hhh.schemas.retention import Retention, RetentionPlan
from hhh.web.session import allowed
from hhh.web.state import queue, services

router = APIRouter(prefix="/api/v1/targets", tags=["retention"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_ADMIN = [Depends(allowed(Scope.ADMIN))]


@router.get("/{name}/retention", dependencies=_READ)
def plan(request: Request, name: str, tried: Annotated[Retention, Query()]) -> RetentionPlan:
    """Each successful backup with the rules that keep it or the one that drops it; changes nothing.

    Without parameters the target's own rules decide, else those that the parameters name.
    """
    return services(request).pruning.plan(name, tried if tried.model_fields_set else None)


@router.post("/{name}/prune", dependencies=_ADMIN, status_code=202)
def prune(request: Request, response: Response, name: str) -> AcceptedJob:
    """Removes what the target's rules drop, and tries again what could not be removed before."""
    jobs = queue(request)
    job_id = jobs.enqueue(services(request).pruning.request(name))
    response.headers["Location"] = f"/api/v1/targets/{name}/retention"
    return AcceptedJob(job_id=job_id)
