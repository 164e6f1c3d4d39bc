"""Backups that were taken here are verified here, where a policy says so and no service would do it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hhh.cli.progress import progress_bar
from hhh.core.errors import BackupInProgress
from hhh.jobs.worker import Worker
from hhh.schemas.verification import VerificationResource
from hhh.services.container import Services
from hhh.services.work import NewJob


def verify_what_is_due(services: Services, worker: Worker, target: str) -> Sequence[VerificationResource]:
    """Verifies a target's backups as its policy says: the one just taken, and what was imported or left before.

    Nothing where somebody else does it. Answers what was found, of the newest first.
    """
    due = services.verification_work.demanded(target)
    return list(filter(None, (_verified(services, worker, new) for new in due)))


def _verified(services: Services, worker: Worker, new: NewJob) -> VerificationResource | None:
    try:
        # Somebody waits, and must hear of a failure at once.
        verification_id = worker.create(dataclasses.replace(new, retries=0))
    except BackupInProgress:  # a service was faster
        return None
    with progress_bar(new.target) as observer:
        worker.execute(verification_id, observer)
    return services.verifications.get(verification_id)
