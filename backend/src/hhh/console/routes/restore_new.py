"""A new restore: which database, to which moment, where to; then it is checked before anything happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request
from starlette.responses import Response

from hhh.console.links import link
from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.session import PageAdmin
from hhh.console.views.recovery_line import line_of, look_of
from hhh.console.views.restore_form import RestoreForm
from hhh.console.views.table_choice import boxes
from hhh.console.zone import typed_moment, zone_of
from hhh.core.clock import utcnow
from hhh.core.errors import ConfigurationError, HHHError, InvalidInput, NotFound
from hhh.engines.base import EngineKind
from hhh.services.cursors import is_id
from hhh.services.recovery_points import PointPage
from hhh.web.forms import Form
from hhh.web.state import client_address, queue, services

router = page_router()

_TARGETS_SHOWN = 50
_POINTS_SHOWN = 100


@router.get("/restores/new")
def new(
    request: Request,
    target: str = "",
    backup: str = "",
    before: str = "",
    cursor: str | None = None,
    search: str = "",
    tables: bool = False,
) -> Response:
    """Step by step: the database; its recovery point and where to."""
    chosen = services(request).recovery_points.find(backup) if backup else None
    name = chosen.target if chosen else target
    if not name:
        return _databases(request, search.strip())
    mode = "tables" if tables else "new"
    form = RestoreForm(name, backup_id=backup, mode=mode)
    return _drawn(request, form, before=before, cursor=cursor, list_tables=tables)


@router.post("/restores/new/tables")
def list_tables(fields: Form) -> Response:
    """Leads to the list of the tables in the chosen backup."""
    form = RestoreForm.of(fields)
    if not is_id(form.backup_id):
        raise InvalidInput("No recovery point is chosen", hint="go back and choose one")
    return redirect(link("/restores/new", {"backup": form.backup_id, "tables": "1"}) + "#where")


@router.post("/restores/plan")
def plan(request: Request, fields: Form, admin: PageAdmin) -> Response:
    """Has it checked, as a dry run."""
    form, jobs = RestoreForm.of(fields), queue(request)
    if form.errors:
        return _drawn(request, form, status=422)
    known = services(request)
    try:
        asked = form.request(known.whereabouts.of(form.destination_target), utcnow())
        restore_id = jobs.enqueue(
            known.restores.request(asked, requested_by=admin.email, address=client_address(request))
        )
    except HHHError as error:
        # A URL that can't be opened is no fault of the program: another database can be chosen.
        return _drawn(request, form, error=error, status=422 if isinstance(error, ConfigurationError) else error.status)
    return redirect(f"/restores/{restore_id}", done="restore-checking")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which recovery points are looked for."""

    until: datetime | None = None
    cursor: str | None = None
    #: What was typed, and what is wrong with it.
    before: str = ""
    error: str = ""


def _databases(request: Request, search: str) -> Response:
    known = services(request)
    found, total = known.targets.page(search, limit=_TARGETS_SHOWN, offset=0)
    standing = known.recoverability.among([each.name for each in found])
    context = {"targets": found, "standing": standing, "total": total, "search": search}
    return page(request, "restore_database", context)


def _drawn(
    request: Request,
    form: RestoreForm,
    *,
    before: str = "",
    cursor: str | None = None,
    list_tables: bool = False,
    error: HHHError | None = None,
    status: int = 200,
) -> Response:
    asked = _looked_for(request, before, cursor)
    found = _points(request, form, asked)
    where = services(request).whereabouts.known(form.target)
    engine = where.engine if where else found.engine
    if where is None and engine is None:
        raise NotFound(f"There is no database {form.target!r}, and no backup of it", hint="choose another one")
    context = {
        "form": form,
        "error": error,
        "where": where,
        "engine": engine,
        "servers": _servers(request, engine, is_registered=where is not None),
        "proposed": where.free_name(utcnow()) if where else "",
        "line": line_of(found, utcnow(), zone_of(request), chosen=form.backup_id, latest=asked.until is not None),
        "look_of": look_of,
        "found": found,
        "asked": asked,
        "zone": zone_of(request).key,
        "undo_days": services(request).settings.restore_undo_days,
        **_tables(request, form, asked_for=list_tables and engine is EngineKind.POSTGRESQL),
    }
    return page(request, "restore_new", context, status=status)


def _servers(request: Request, engine: EngineKind | None, *, is_registered: bool) -> Sequence[tuple[str, str]]:
    """Of a choice: the databases on whose server, or in whose folder, it can go."""
    names = services(request).whereabouts.of_kind(engine) if engine else []
    return [*([] if is_registered else [("", "Choose…")]), *((name, name) for name in names)]


def _looked_for(request: Request, before: str, cursor: str | None) -> _Asked:
    try:
        return _Asked(typed_moment(before, zone_of(request)), cursor, before)
    except InvalidInput as error:
        return _Asked(None, cursor, before, error.message)


def _points(request: Request, form: RestoreForm, asked: _Asked) -> PointPage:
    known = services(request).recovery_points
    chosen = known.known(form.backup_id) if form.backup_id else None
    including = chosen if chosen and chosen.target == form.target else None
    return known.page(form.target, until=asked.until, cursor=asked.cursor, including=including, limit=_POINTS_SHOWN)


def _tables(request: Request, form: RestoreForm, *, asked_for: bool) -> dict[str, object]:
    """The boxes of tables, and why there are none."""
    if not asked_for:
        return {"boxes": [], "tables_problem": None}
    try:
        found = boxes(services(request).contents.of(form.backup_id), form.ticked)
    except HHHError as error:
        return {"boxes": [], "tables_problem": str(error)}
    return {"boxes": found, "tables_problem": None if found else "There are too many to list them: type their names"}
