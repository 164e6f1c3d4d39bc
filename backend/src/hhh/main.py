"""Puts the application together."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.routing import BaseRoute

from hhh import migrations
from hhh.api import monitoring
from hhh.api.description import Description
from hhh.api.rest.v1 import (
    account,
    alert,
    audit,
    auth,
    backup,
    backup_content,
    backup_repair,
    backup_retention,
    backup_run,
    monitor,
    proof_report,
    recoverability,
    restore,
    retention,
    schedule,
    storage,
    target,
    token,
    user,
    verification,
    worker,
)
from hhh.console.errors import error_page
from hhh.console.routes import ROUTERS as PAGES
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.version import PRODUCT_VERSION
from hhh.jobs.runtime import Jobs
from hhh.services.container import assemble
from hhh.services.last_seen import LastSeen
from hhh.web.install import install
from hhh.web.monitoring import Monitoring
from hhh.web.sse import Feed

ROUTERS = (
    audit.router,
    auth.router,
    account.router,
    backup.router,
    backup_content.router,
    backup_repair.router,
    backup_run.router,
    backup_retention.router,
    restore.router,
    retention.router,
    schedule.router,
    storage.router,
    target.router,
    token.router,
    user.router,
    worker.router,
    verification.router,
    proof_report.router,
    recoverability.router,
    monitor.router,
    monitoring.router,
    alert.router,
)


def create_app(settings: Settings, database: Database, *, works: bool = True) -> FastAPI:
    """The ASGI application; its queue runs from its start-up to its shut-down.

    Args:
        settings: all of them.
        database: the own one.
        works: whether jobs run in this process; else it only hands them over, to workers of the jobs database.

    Raises:
        ConfigurationError, InvalidInput: a setting can't be used.
    """
    services = assemble(settings, database)
    jobs = Jobs(services, works=works)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.migrations_pending = await run_in_threadpool(migrations.pending, database)
        if not app.state.migrations_pending:
            await run_in_threadpool(jobs.start)
        try:
            yield
        finally:
            await run_in_threadpool(jobs.stop)
            await run_in_threadpool(app.state.last_seen.close)

    # FastAPI's own pages load scripts from elsewhere, which our Content-Security-Policy refuses.
    app = FastAPI(
        title="HHH Backup",
        version=PRODUCT_VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirection would be to the host that the client names, and behind some proxies to http://.
        redirect_slashes=False,
        routes=_routes(),
    )
    app.state.services = services
    app.state.jobs = jobs
    app.state.last_seen = LastSeen(database)
    app.state.feed = Feed(services.following, lambda: jobs.stopping)
    app.state.error_page = error_page
    install(app, settings)
    app.state.monitoring = Monitoring(services, jobs, app.state.http_metrics)
    app.openapi = Description(app, ROUTERS)  # type: ignore[method-assign]  # as FastAPI has it done
    return app


@functools.cache
def _routes() -> list[BaseRoute]:
    """Those of the API and of the pages: worked out once for any number of applications, as it takes 0.2 s."""
    every = APIRouter()
    for router in (*ROUTERS, *PAGES):
        every.include_router(router)
    return every.routes


def describe() -> dict[str, Any]:
    """The description of the API, without a service."""
    app = FastAPI(title="HHH Backup", version=PRODUCT_VERSION, routes=_routes())
    return Description(app, ROUTERS)()
