"""Who works."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request

from hhh.models import Scope
from hhh.schemas.worker import WorkerResource
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/workers", tags=["workers"], dependencies=[Depends(allowed(Scope.BACKUP_READ))])


@router.get("")
def index(request: Request) -> Sequence[WorkerResource]:
    """Every process that takes jobs, and what it is at."""
    return services(request).workers.list()
