"""What those ask that watch the service: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Depends, Request, Response

from hhh.models import Scope
from hhh.schemas.health import Health, Ready
from hhh.web.monitoring import Monitoring
from hhh.web.session import allowed

router = APIRouter(tags=["monitoring"])

_TEXTS = ("text/plain", "application/openmetrics-text")


@router.get(
    "/metrics",
    dependencies=[Depends(allowed(Scope.BACKUP_READ))],
    response_class=Response,
    responses={200: {"content": {each: {"schema": {"type": "string"}} for each in _TEXTS}}},
)
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus: for a token with the scope `backup:read`, or a super admin who is signed in."""
    return await monitoring(request).metrics(request.headers.get("Accept", ""))


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers; asks nothing else."""
    return Health()


@router.get("/readyz", responses={503: {"model": Ready, "description": "It is not ready."}})
async def readyz(request: Request, response: Response) -> Ready:
    """Whether the process can do its work: it has its database, of its version, and its queue."""
    ready = await monitoring(request).readiness.now()
    response.status_code = ready.http_status
    return ready


def monitoring(request: Request) -> Monitoring:
    """What the process tells of itself."""
    return cast("Monitoring", request.app.state.monitoring)
