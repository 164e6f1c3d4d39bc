"""Whether a process can do its work: what a load balancer asks again and again, and anybody may ask.

It tells the names of what is missing and nothing else. However many ask, one thread looks, once a second at the most.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from hhh import migrations
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, DatabaseUnavailable, HHHError
from hhh.jobs.runtime import Jobs
from hhh.schemas.health import Needed, Ready
from hhh.web.shared_look import SharedLook

#: Seconds for which what was found is told again.
_FRESH = 1.0
#: Seconds until what has not answered counts as missing; whoever asks has a limit of their own, often of 3 or 5.
_PATIENCE = 2.0

log = structlog.get_logger(__name__)


class Readiness:
    """Looks whether all is there that a process needs.

    Args:
        database: the own one.
        jobs: the queue of this process; it is started where an operator has run the pending migrations meanwhile,
            since nobody else may ask for it before this process is said to be ready.
    """

    def __init__(self, database: Database, jobs: Jobs, *, patience: float = _PATIENCE, fresh: float = _FRESH) -> None:
        self._database = database
        self._jobs = jobs
        self._patience = patience
        self._look = SharedLook(self._missing, fresh=fresh)
        self._looking_at = Needed.OWN_DATABASE

    async def now(self) -> Ready:
        """Whether the process is ready."""
        missing = await self._missing_now()
        return Ready(status="not-ready" if missing else "ready", missing=[*missing])

    async def _missing_now(self) -> Sequence[Needed]:
        if self._jobs.stopping:  # whatever was found a moment ago
            return [Needed.QUEUE]
        try:
            return await self._look.found_within(self._patience)
        except TimeoutError:
            return [self._looking_at]

    def _missing(self) -> Sequence[Needed]:
        self._looking_at = Needed.OWN_DATABASE
        try:
            pending = migrations.pending(self._database)
        except ConfigurationError:  # of a newer version
            pending = True
        except DatabaseUnavailable as error:
            log.warning("not_ready", missing=Needed.OWN_DATABASE, error=str(error))
            return [Needed.OWN_DATABASE]
        if pending:
            return [Needed.MIGRATIONS, Needed.QUEUE]
        self._looking_at = Needed.QUEUE
        try:
            self._jobs.start()
        except HHHError as error:
            log.warning("not_ready", missing=Needed.QUEUE, error=str(error))
            return [Needed.QUEUE]
        return []
