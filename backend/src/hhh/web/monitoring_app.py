"""The application of the separate port: what watches a process is told without a sign-in, and nothing else is there."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hhh.schemas.health import Health
from hhh.web.monitoring import Monitoring
from hhh.web.patience import PatientProtocol


class FewAtOnce(PatientProtocol):
    """A connection to this port: a few programs watch a process."""

    most = 50


def monitoring_app(monitoring: Monitoring) -> Starlette:
    """The ASGI application: `/metrics`, `/healthz`, `/readyz`."""

    async def metrics(request: Request) -> Response:
        return await monitoring.metrics(request.headers.get("Accept", ""))

    async def healthz(_request: Request) -> Response:
        return JSONResponse(Health().model_dump())

    async def readyz(_request: Request) -> Response:
        ready = await monitoring.readiness.now()
        return JSONResponse(ready.model_dump(mode="json"), status_code=ready.http_status)

    app = Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)])
    app.router.redirect_slashes = False  # as in main.py
    return app
