"""How databases are, for a monitor on another machine."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request

from hhh.api.monitoring import monitoring
from hhh.models import Scope
from hhh.schemas.monitoring import MonitoredTarget
from hhh.web.session import allowed

router = APIRouter(prefix="/api/v1", tags=["monitoring"], dependencies=[Depends(allowed(Scope.BACKUP_READ))])


@router.get("/monitor")
async def monitor(request: Request) -> Sequence[MonitoredTarget]:
    """All databases, those that need somebody first: each is opened now; what is told may be some seconds old."""
    return await monitoring(request).targets()
