"""Backups: the list, and one of them with what can be done with it."""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from hhh.console.links import link
from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.session import PageAdmin
from hhh.console.views import backup_list, backup_view
from hhh.core.errors import BackupInProgress, BackupProtected, HHHError, InvalidInput
from hhh.models import JobKind
from hhh.schemas.backup import BackupPage
from hhh.schemas.verification import VerifyRequest
from hhh.services.downloads import Form as Download
from hhh.web.forms import Form
from hhh.web.state import queue, services

router = page_router()

_UNAVAILABLE = 503


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
    """One backup: followed while it runs; what it is, and what can be done with it."""
    shown = backup_view.shown(services(request), backup_id)
    context = {
        "shown": shown,
        "ratio": backup_list.ratio(shown.backup),
        "hashes": backup_view.hashes(shown.manifest),
        "levels": backup_view.LEVELS,
        "found": backup_view.found,
    }
    return page(request, "backup", context, has_ended=shown.is_over)


@router.post("/backups/{backup_id}/cancel")
def cancel(request: Request, backup_id: str) -> Response:
    """Has a backup end."""
    services(request).following.cancel(JobKind.BACKUP, backup_id)
    return redirect(f"/backups/{backup_id}", done="cancelling")


@router.post("/backups/{backup_id}/verify")
def verify(request: Request, backup_id: str, fields: Form, admin: PageAdmin) -> Response:
    """Asks what it is good for; the page of the drill follows that."""
    try:
        asked = VerifyRequest.model_validate({"level": fields.text("level")})
    except ValidationError:
        raise InvalidInput("A backup can't be verified like that", hint="go back, and choose one of the list") from None
    jobs = queue(request)
    new = services(request).verifications.request(backup_id, asked.level, requested_by=admin.email)
    return redirect(f"/drills/{jobs.enqueue(new)}", done="verify-queued")


@router.post("/backups/{backup_id}/pin")
def pin(request: Request, backup_id: str) -> Response:
    """Keeps it, whatever the rules say."""
    services(request).deletion.pin(backup_id, pinned=True)
    return redirect(f"/backups/{backup_id}", done="backup-pinned")


@router.post("/backups/{backup_id}/unpin")
def unpin(request: Request, backup_id: str) -> Response:
    """Leaves it to the rules again."""
    services(request).deletion.pin(backup_id, pinned=False)
    return redirect(f"/backups/{backup_id}", done="backup-unpinned")


@router.get("/backups/{backup_id}/download")
def download(request: Request, backup_id: str, form: str = Download.STORED) -> Response:
    """Leads to the artifact. What stands against it is told here, as a page, and with a session that is carried on."""
    if form not in {*Download}:
        raise InvalidInput("A backup can't be downloaded like that", hint="as `stored` or `plain`")
    services(request).downloads.open(backup_id, Download(form))
    return redirect(f"/api/v1/backups/{backup_id}/download?form={form}")


@router.get("/backups/{backup_id}/contents")
def contents(
    request: Request, backup_id: str, q: str = "", number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1
) -> Response:
    """Its tables; its store is read for that."""
    backup, wanted = services(request).catalogue.get(backup_id), q.strip()
    context = {"backup": backup, "wanted": wanted, "error": None, "full_name": backup_view.full_name}
    try:
        tables = backup_view.tables(services(request).contents.of(backup_id), wanted, number)
    except HHHError as error:
        return page(request, "backup_contents", {**context, "error": error}, status=_told(error))
    links = {
        "further": _contents_link(backup_id, wanted, number + 1) if tables.has_more else "",
        "first": _contents_link(backup_id, wanted) if number > 1 else "",
    }
    return page(request, "backup_contents", {**context, **links, "tables": tables})


@router.get("/backups/{backup_id}/delete")
def ask_to_delete(request: Request, backup_id: str) -> Response:
    """Asks whether it is really to go."""
    return _asked_to_delete(request, backup_id)


@router.post("/backups/{backup_id}/delete")
def delete(request: Request, backup_id: str, fields: Form, admin: PageAdmin) -> Response:
    """Removes it; one that is protected only where its file is named."""
    jobs, typed = queue(request), fields.text("name")
    try:
        target = services(request).deletion.delete(backup_id, by=admin.email, force=typed or None)
    except (BackupProtected, InvalidInput) as error:
        return _asked_to_delete(request, backup_id, error)
    with contextlib.suppress(BackupInProgress):  # one that runs already leaves it to the next, which is due by itself
        jobs.enqueue(services(request).pruning.removals_of(target))
    return redirect("/backups", done="backup-deleted")


def _asked_to_delete(request: Request, backup_id: str, error: HHHError | None = None) -> Response:
    is_wrong, deletion = isinstance(error, InvalidInput), services(request).deletion
    context = {
        "backup": services(request).catalogue.get(backup_id),
        "reasons": [backup_view.PROTECTIONS.get(each, each) for each in deletion.protections_of(backup_id)],
        "error": None if is_wrong else error,
        "wrong": "That is not the name of its file" if is_wrong else "",
    }
    return page(request, "backup_delete", context, status=error.status if error else 200)


def _told(error: HHHError) -> int:
    """The status of a page that tells an error: what a store lacks is no fault of the service."""
    return _UNAVAILABLE if error.is_own_trouble else error.status


def _contents_link(backup_id: str, wanted: str, number: int = 1) -> str:
    return link(f"/backups/{backup_id}/contents", {"q": wanted, "page": number})
