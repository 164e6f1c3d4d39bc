"""What a process tells those that watch it: metrics, and whether it is ready."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from prometheus_client.core import Metric
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hhh.core.errors import DatabaseUnavailable
from hhh.jobs.runtime import Jobs
from hhh.schemas.monitoring import MonitoredTarget
from hhh.services.container import Services
from hhh.services.metrics import Measurements
from hhh.web import metrics
from hhh.web.http_metrics import HttpMetrics
from hhh.web.readiness import Readiness
from hhh.web.shared_look import SharedLook

#: Seconds for which what was found of the targets is told again.
_FRESH = 5.0

log = structlog.get_logger(__name__)


class Monitoring:
    """Of one process.

    Args:
        services: of the process.
        jobs: its queue.
        http: of the requests that it answers; None for one that answers none. What is in the own database is told by
            processes that do: it would be the same from every worker.
    """

    def __init__(self, services: Services, jobs: Jobs, http: HttpMetrics | None) -> None:
        self.readiness = Readiness(services.database, jobs)
        self._services = services
        self._tells_all = http is not None
        self._exposition = metrics.Exposition(*([http.registry] if http is not None else []))
        # Whoever asks while others wait gets the same answer: a flood of them is one reader of the database.
        self._measured = SharedLook(self._measure)
        self._targets = SharedLook(services.monitoring.look, fresh=_FRESH)

    async def metrics(self, accept: str) -> Response:
        """The answer to a scrape, in the form that the client accepts."""
        families = [metrics.build(), *(await self._measured.found() if self._tells_all else [])]
        text, media_type = await run_in_threadpool(self._exposition.render, families, accept)
        return Response(text, headers={"Content-Type": media_type, "Vary": "Accept"})

    async def targets(self) -> Sequence[MonitoredTarget]:
        """How all targets are; each of them is opened for that, but not for each who asks."""
        return await self._targets.found()

    def _measure(self) -> Sequence[Metric]:
        found = self._found()
        return [metrics.own_database(is_up=found is not None), *(metrics.measured(found) if found is not None else ())]

    def _found(self) -> Measurements | None:
        try:
            return self._services.metrics.measure()
        except DatabaseUnavailable as error:
            log.warning("not_measured", error=str(error))
            return None
