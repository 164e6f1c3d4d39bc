"""A backup that is there: pinned, unpinned and removed."""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from hhh.core.errors import BackupInProgress
from hhh.models import Scope
from hhh.schemas.backup import BackupResource
from hhh.schemas.retention import AcceptedDeletion, DeleteRequest
from hhh.web.session import SuperAdmin, allowed
from hhh.web.state import queue, services

router = APIRouter(prefix="/api/v1/backups", tags=["backups"], dependencies=[Depends(allowed(Scope.ADMIN))])


@router.post("/{backup_id}/pin")
def pin(request: Request, backup_id: str) -> BackupResource:
    """Keeps a backup, whatever the rules say, until it is unpinned."""
    services(request).deletion.pin(backup_id, pinned=True)
    return services(request).catalogue.get(backup_id)


@router.post("/{backup_id}/unpin")
def unpin(request: Request, backup_id: str) -> BackupResource:
    """Leaves a backup to the rules again."""
    services(request).deletion.pin(backup_id, pinned=False)
    return services(request).catalogue.get(backup_id)


@router.delete("/{backup_id}", status_code=202)
def delete(
    request: Request,
    backup_id: str,
    admin: SuperAdmin,
    body: DeleteRequest | None = None,
    force: Annotated[str | None, Query(description="As in the body.")] = None,
) -> AcceptedDeletion:
    """Removes a backup: at once from every listing, total and restore, and then, by a job, from its stores."""
    jobs = queue(request)
    asked = body.force if body is not None and body.force is not None else force
    target = services(request).deletion.delete(backup_id, by=admin.email, force=asked)
    with contextlib.suppress(BackupInProgress):  # one that runs already leaves it to the next, which is due by itself
        jobs.enqueue(services(request).pruning.removals_of(target))
    return AcceptedDeletion(backup_id=backup_id)
