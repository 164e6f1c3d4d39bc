"""The health of everything as a page that is sent while it is found out: each finding as soon as it is known.

One at a time in a process: each opens every database, and writes a small object into every store. It has a thread of
its own, so that no page waits for one of those that all share; it ends with its client, and with the process.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import anyio
import structlog
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hhh.console.rendering import POLICY, environment
from hhh.core.errors import Cancelled, HHHError
from hhh.core.run import Progress
from hhh.jobs import runtime
from hhh.services.container import Services
from hhh.services.doctor import examine_all
from hhh.services.doctor_findings import Finding

#: Where in the page the findings go, and what they come to.
ROWS, SUM = "<!-- findings -->", "<!-- sum -->"

_HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_TURN = threading.Lock()

log = structlog.get_logger(__name__)


class Examination(StreamingResponse):
    """The answer.

    Args:
        services: that are examined.
        page: drawn, with `ROWS` and `SUM` in it.
        busy: answered instead while another one runs.
        is_stopping: whether the process was asked to stop.
    """

    media_type = "text/html"

    def __init__(self, services: Services, page: str, busy: Response, is_stopping: Callable[[], bool]) -> None:
        self._services = services
        self._busy = busy
        self._run = _Watched(is_stopping)
        super().__init__(self._pieces(page), headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _TURN.acquire(blocking=False):
            await self._busy(scope, receive, send)
            return
        # Given back here whatever ends it: nobody closes a generator that is left. A look that is under way has ended
        # by then, since a thread is waited for.
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._leave_with_the_client, receive, tasks.cancel_scope)
                await self.stream_response(send)
                tasks.cancel_scope.cancel()
        finally:
            _TURN.release()

    async def _leave_with_the_client(self, receive: Receive, scope: anyio.CancelScope) -> None:
        await self.listen_for_disconnect(receive)
        self._run.is_over = True
        scope.cancel()

    async def _pieces(self, page: str) -> AsyncIterator[str]:
        before, _, rest = page.partition(ROWS)
        between, _, after = rest.partition(SUM)
        yield before
        turn, told = anyio.CapacityLimiter(1), list[Finding]()
        found = _without_steps(_guarded(self._services, self._run))
        while (finding := await anyio.to_thread.run_sync(next, found, None, limiter=turn)) is not None:
            told.append(finding)
            yield environment().get_template("finding.html.j2").render(finding=finding) + "\n"
        troubles = [finding for finding in told if not finding.ok]
        summed = environment().get_template("examined.html.j2").render(found=told, troubles=troubles)
        yield between + summed + after


@dataclass(slots=True)
class _Watched:
    """The run of a sweep that only looks."""

    is_stopping: Callable[[], bool]
    is_over: bool = False

    def report(self, progress: Progress) -> None:
        """Drops it: findings tell how far it is."""

    def raise_if_cancelled(self) -> None:
        """Raises `Cancelled` once nobody looks any more."""
        if self.is_over or self.is_stopping():
            raise Cancelled("The examination was ended")


def _guarded(services: Services, run: _Watched) -> Iterator[Finding]:
    """What is found, until nobody looks any more; what ends it early is a finding, too."""
    try:
        for finding in _examined(services, run):
            run.raise_if_cancelled()
            yield finding
    except Cancelled as error:
        yield Finding("examination", ok=False, detail=f"{error}: the service is stopping")
    except HHHError as error:
        yield Finding("examination", ok=False, detail=f"it ended early: {error}")
    except Exception as error:  # half a page is out: it is ended as one
        log.exception("examination_failed", error=str(error))
        yield Finding("examination", ok=False, detail="it ended early; the service's log has more")


def _examined(services: Services, run: _Watched) -> Iterator[Finding]:
    return examine_all(
        services,
        check_jobs=lambda: runtime.check(services),
        sweep=lambda down: services.sweep.look(repair=False, run=run, without=down),
    )


def _without_steps(found: Iterator[Finding]) -> Iterator[Finding]:
    return (finding for finding in found if not finding.is_step)
