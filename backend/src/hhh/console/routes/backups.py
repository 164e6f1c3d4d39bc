"""Backups: the list, and one of them with what can be done with it."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console import backup_list
from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.core.errors import BackupInProgress
from hhh.models import JobKind
from hhh.schemas.backup import BackupPage
from hhh.web.forms import Form
from hhh.web.state import queue, services

router = page_router()


@router.get("/backups")
def index(request: Request) -> Response:
    """Backups: narrowed, sorted, a page of them."""
    asked = backup_list.read(request.query_params)
    found = BackupPage(items=[], next_cursor=None)
    if (query := asked.query) is not None:
        found = services(request).catalogue.page(
            query.narrowed, sort=query.sort, cursor=query.cursor, limit=query.limit, with_manifests=False
        )
    context = {
        "asked": asked,
        "rows": [backup_list.row(backup) for backup in found.items],
        "targets": services(request).targets.names(),
        "states": backup_list.STATES,
        "proven": backup_list.PROVEN,
        "sorts": backup_list.SORTS,
        "older": asked.link(found.next_cursor) if found.next_cursor else "",
        "newest": asked.link() if query is not None and query.cursor else "",
    }
    return page(request, "backups", context, status=422 if asked.errors else 200)


@router.post("/backups")
def take(request: Request, fields: Form) -> Response:
    """Asks for a backup."""
    jobs, target = queue(request), fields.text("target")
    try:
        backup_id = jobs.enqueue(services(request).backups.request(target))
    except BackupInProgress as error:
        busy = services(request).following.busy_with(target)
        context = {"error": error, "busy": busy, "target": target}
        return page(request, "backup_busy", context, status=error.status)
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
