"""Retention: what of a target is kept, as a calendar, and why."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.typed import Typed, WrongFieldsError
from hhh.console.views import retention_form, retention_view
from hhh.schemas.retention import Retention
from hhh.services.pruning import Decided
from hhh.web.forms import Fields, Form
from hhh.web.state import queue, services

router = page_router()
#: How many dropped backups somebody has agreed to.
_AGREED = "agreed"
_DIGITS = 10


@router.get("/targets/{name}/retention")
def index(
    request: Request,
    name: str,
    until: Annotated[str, Query(pattern=r"^(\d{4}-\d{2})?$")] = "",
    day: date | None = None,
) -> Response:
    """What the target's rules keep and drop, or others that are tried."""
    sent = dict(request.query_params)
    if retention_form.TRY not in sent:
        return _calendar(request, name, until=until, day=day)
    try:
        tried = retention_form.rules_of(sent)
    except WrongFieldsError as error:
        return _calendar(request, name, form=retention_form.form_again(sent, error.errors), status=422)
    return _calendar(request, name, tried=tried, until=until, day=day)


@router.post("/targets/{name}/retention")
def save(request: Request, name: str, fields: Form) -> Response:
    """Saves rules; those that would drop backups, once somebody has agreed to that."""
    services(request).targets.get(name)
    try:
        rules = retention_form.rules_of(fields)
    except WrongFieldsError as error:
        return _calendar(request, name, form=retention_form.form_again(fields, error.errors), status=422)
    decided = services(request).pruning.decided(name, rules)
    if not _is_agreed(fields, decided):
        form = retention_form.form_of(rules)
        return _ask(request, retention_view.shown(name, decided, form, tried=True), saving=True)
    services(request).targets.update(name, None, retention_form.policy_of(rules), whole=False)
    return redirect(f"/targets/{name}/retention", done="retention-saved")


@router.post("/targets/{name}/prune")
def prune(request: Request, name: str, fields: Form) -> Response:
    """Removes what the rules drop, once somebody has agreed to that, and tries again what was left before."""
    decided = services(request).pruning.decided(name)
    if not _is_agreed(fields, decided):
        form = retention_form.form_of(decided.rules)
        return _ask(request, retention_view.shown(name, decided, form, tried=False), saving=False)
    queue(request).enqueue(services(request).pruning.request(name))
    return redirect(f"/targets/{name}/retention", done="prune-queued")


def _calendar(
    request: Request,
    name: str,
    *,
    tried: Retention | None = None,
    form: Typed | None = None,
    until: str = "",
    day: date | None = None,
    status: int = 200,
) -> Response:
    decided = services(request).pruning.decided(name, tried)
    drawn = form or retention_form.form_of(decided.rules)
    shown = retention_view.shown(name, decided, drawn, tried=tried is not None, until=until, day=day)
    return page(request, "retention", {"shown": shown, "choices": retention_form}, status=status)


def _ask(request: Request, shown: retention_view.RetentionPage, *, saving: bool) -> Response:
    return page(request, "retention_agree", {"shown": shown, "saving": saving, "agreed": _AGREED})


def _is_agreed(fields: Fields, decided: Decided) -> bool:
    """Whether no more is dropped than somebody has seen and agreed to."""
    agreed = fields.text(_AGREED)
    dropped = sum(1 for verdict in decided.verdicts if not verdict.keep)
    return dropped <= (int(agreed) if agreed.isdecimal() and len(agreed) < _DIGITS else 0)
