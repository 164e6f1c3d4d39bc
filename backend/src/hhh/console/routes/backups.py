"""Backups: the list, and one of them with what can be done with it."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.models import JobKind
from hhh.schemas.backup import BackupFilter
from hhh.web.forms import Form
from hhh.web.state import queue, services

router = page_router()


@router.get("/backups")
def index(request: Request, cursor: str | None = None) -> Response:
    """Backups, newest first."""
    found = services(request).catalogue.page(BackupFilter(), cursor=cursor, limit=50)
    return page(request, "backups", {"found": found, "targets": services(request).targets.names()})


@router.post("/backups")
def take(request: Request, fields: Form) -> Response:
    """Asks for a backup."""
    jobs = queue(request)
    backup_id = jobs.enqueue(services(request).backups.request(fields.text("target")))
    return redirect(f"/backups/{backup_id}", done="backup-queued")


@router.get("/backups/{backup_id}")
def show(request: Request, backup_id: str) -> Response:
    """One backup."""
    return page(request, "backup", {"backup": services(request).catalogue.get(backup_id)})


@router.post("/backups/{backup_id}/cancel")
def cancel(request: Request, backup_id: str) -> Response:
    """Has a backup end."""
    services(request).following.cancel(JobKind.BACKUP, backup_id)
    return redirect(f"/backups/{backup_id}", done="cancelling")
