"""Who works."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request

from hhh.schemas.worker import WorkerResource
from hhh.web.session import super_admin
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/workers", tags=["workers"], dependencies=[Depends(super_admin)])


@router.get("")
def index(request: Request) -> Sequence[WorkerResource]:
    """Every process that takes jobs, and what it is at."""
    return services(request).workers.list()
