"""Drills: what was verified, with what came of it, and the reports that prove it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request
from starlette.responses import Response

from hhh.console.links import link
from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.views import drill_view
from hhh.console.views.drill_view import LEVELS, STATES
from hhh.core.errors import InvalidInput, NotFound
from hhh.models import JobKind, VerificationStatus
from hhh.schemas.verification import LEVELS as KNOWN_LEVELS
from hhh.schemas.verification import VerificationFilter
from hhh.services.catalogue import Catalogue
from hhh.web.state import services

router = page_router()

_AT_ONCE = 50


@router.get("/drills")
def index(request: Request, target: str = "", status: str = "", level: str = "", cursor: str = "") -> Response:
    """What runs, and what has ended, newest first."""
    verifications = services(request).verifications
    narrowed = _narrowed(target.strip(), status, level)
    asked = {"target": target.strip(), "status": status, "level": level}
    found = verifications.history(narrowed, cursor=cursor or None, limit=_AT_ONCE)
    context = {
        "under_way": [] if cursor or status else verifications.under_way(narrowed),
        "found": found,
        "asked": asked,
        "is_narrowed": any(asked.values()),
        "targets": services(request).targets.names(),
        "states": STATES,
        "levels": LEVELS,
        "asked_by": drill_view.asked_by,
        "older": link("/drills", {**asked, "cursor": found.next_cursor}) if found.next_cursor else "",
        "newest": link("/drills", asked) if cursor else "",
    }
    return page(request, "drills", context)


@router.get("/drills/{verification_id}")
def show(request: Request, verification_id: str) -> Response:
    """One drill, followed while it runs, with all that it found once it has ended."""
    known = services(request)
    found = known.verifications.get(verification_id)
    drill = drill_view.drill_view(found, has_backup=_is_there(known.catalogue, found.backup_id))
    context = {
        "drill": drill,
        "lines": known.job_logs.of(verification_id),
        "at_most": drill_view.at_most,
        "asked_by": drill_view.asked_by,
        "differs": drill_view.differs,
    }
    return page(request, "drill", context, has_ended=drill.verdict is not None)


@router.post("/drills/{verification_id}/cancel")
def cancel(request: Request, verification_id: str) -> Response:
    """Has a drill end."""
    services(request).following.cancel(JobKind.VERIFY, verification_id)
    return redirect(f"/drills/{verification_id}", done="cancelling")


@router.get("/drills/{verification_id}/report")
def report(
    request: Request,
    verification_id: str,
    form: Annotated[Literal["json", "html"], Query(alias="format")] = "html",
) -> Response:
    """Leads to the report, which the API has; here a session whose token has run out is carried on."""
    found = services(request).verifications.get(verification_id)
    if not drill_view.is_reported(found):
        raise InvalidInput(f"The drill is {found.status}: there is nothing to report", hint="wait for its end")
    return redirect(f"/api/v1/verifications/{found.id}/report?format={form}")


def _narrowed(target: str, status: str, level: str) -> VerificationFilter:
    return VerificationFilter(
        target=target or None,
        status=VerificationStatus(status) if status in STATES else None,
        level=next((each for each in KNOWN_LEVELS if each == level), None),
    )


def _is_there(catalogue: Catalogue, backup_id: str) -> bool:
    try:
        catalogue.get(backup_id)
    except NotFound:
        return False
    return True
