"""Restores: what was restored, one of them from its plan to its receipt, and taking it back."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.session import PageAdmin
from hhh.console.views.restore_form import order_of
from hhh.console.views.restore_view import RestoreView, mode_in_words, view_of
from hhh.core.clock import utcnow
from hhh.core.errors import BackupInProgress, HHHError, InvalidInput, RestoreUnsafe
from hhh.models import JobKind
from hhh.schemas.restore import RestoreRequest
from hhh.web.forms import Fields, Form
from hhh.web.state import client_address, queue, services

router = page_router()

_SHOWN = 50
#: What a listing shows, as the API's `dry_run`.
_KINDS = {"all": None, "restores": False, "dry-runs": True}


@router.get("/restores")
def index(request: Request, show: str = "all", cursor: str | None = None) -> Response:
    """All of them, newest first."""
    show = show if show in _KINDS else "all"
    found, older = services(request).restores.history(dry_run=_KINDS[show], cursor=cursor, limit=_SHOWN)
    context = {"restores": found, "older": older, "show": show, "cursor": cursor, "mode_in_words": mode_in_words}
    return page(request, "restores", context)


@router.get("/restores/{restore_id}")
def show(request: Request, restore_id: str) -> Response:
    """One of them."""
    return _drawn(request, restore_id)


@router.post("/restores/{restore_id}/restore")
def restore(request: Request, restore_id: str, fields: Form, admin: PageAdmin) -> Response:
    """Does what a dry run has checked: all but its id, what is acknowledged and the typed name is from its record."""
    planned = services(request).restores.get(restore_id)
    if not planned.dry_run or planned.status != "success":
        raise InvalidInput("Only what a dry run has checked can be restored from here", hint="check it again first")
    asked = order_of(
        planned, dry_run=False, acknowledge=fields.all("acknowledge"), confirm=fields.get("confirm", "") or None
    )
    if asked.mode == "replace" and asked.confirm != asked.target:
        return _drawn(request, restore_id, fields=fields, wrong_name=True, status=422)
    try:
        new = _asked(request, asked, admin)
    except (RestoreUnsafe, BackupInProgress, InvalidInput) as error:
        return _drawn(request, restore_id, fields=fields, error=error, status=error.status)
    return redirect(f"/restores/{new}", done="restore-queued")


@router.post("/restores/{restore_id}/again")
def check_again(request: Request, restore_id: str, fields: Form, admin: PageAdmin) -> Response:
    """The same as a dry run."""
    planned = services(request).restores.get(restore_id)
    asked = order_of(planned, dry_run=True, acknowledge=fields.all("acknowledge"))
    return redirect(f"/restores/{_asked(request, asked, admin)}", done="restore-checking")


@router.post("/restores/{restore_id}/cancel")
def cancel(request: Request, restore_id: str) -> Response:
    """Has it end; what was there before stays."""
    services(request).following.cancel(JobKind.RESTORE, restore_id)
    return redirect(f"/restores/{restore_id}", done="cancelling")


@router.get("/restores/{restore_id}/undo")
def before_undo(request: Request, restore_id: str) -> Response:
    """What taking it back would do."""
    context = {"view": _view(request, restore_id), "undo_days": services(request).settings.restore_undo_days}
    return page(request, "restore_undo", context)


@router.post("/restores/{restore_id}/undo")
def undo(request: Request, restore_id: str, admin: PageAdmin) -> Response:
    """Takes it back, which is a restore as well."""
    jobs = queue(request)
    new = services(request).restores.undo(restore_id, requested_by=admin.email, address=client_address(request))
    return redirect(f"/restores/{jobs.enqueue(new)}", done="undo-queued")


def _asked(request: Request, asked: RestoreRequest, admin: PageAdmin) -> str:
    jobs = queue(request)
    return jobs.enqueue(
        services(request).restores.request(asked, requested_by=admin.email, address=client_address(request))
    )


def _drawn(
    request: Request,
    restore_id: str,
    *,
    fields: Fields | None = None,
    wrong_name: bool = False,
    error: HHHError | None = None,
    status: int = 200,
) -> Response:
    view = _view(request, restore_id, refused=error if isinstance(error, RestoreUnsafe) else None)
    context = {
        "view": view,
        "error": error,
        "ticked": fields.all("acknowledge") if fields else view.restore.acknowledge,
        "typed": fields.text("confirm") if fields else "",
        "wrong_name": wrong_name,
        "undo_days": services(request).settings.restore_undo_days,
        "lines": services(request).job_logs.of(restore_id),
    }
    return page(request, "restore", context, status=status, has_ended=view.restore.finished_at is not None)


def _view(request: Request, restore_id: str, *, refused: RestoreUnsafe | None = None) -> RestoreView:
    known = services(request)
    found = known.restores.get(restore_id)
    return view_of(
        found,
        point=known.recovery_points.known(found.backup_id),
        where=known.whereabouts.known(found.destination_target),
        now=utcnow(),
        undone_by=known.restores.undone_by(found.id),
        refused=refused,
    )
