"""The settings, and how well everything is."""

from __future__ import annotations

from fastapi import Request
from markupsafe import Markup
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.views import examination, settings_view
from hhh.console.views.examination import Examination
from hhh.services.recovery_kit import recovery_kit
from hhh.web.state import queue, services

router = page_router()

_KIT = 'attachment; filename="hhh-recovery-kit.md"'


@router.get("/settings")
def index(request: Request) -> Response:
    """What is set, which keys and versions there are; nothing outside of this machine is asked."""
    known = services(request)
    context = {
        "groups": settings_view.shown_settings(known),
        "store_variables": settings_view.store_variables(),
        "keys": settings_view.keys(known),
        "versions": settings_view.versions(known.settings),
        "last_sweep": known.sweep.last(),
    }
    return page(request, "settings", context)


@router.get("/settings/health")
def health(request: Request) -> Response:
    """Examines everything, and tells each finding as soon as it is known."""
    places = {"rows": Markup(examination.ROWS), "sum": Markup(examination.SUM)}  # noqa: S704  two comments of ours
    drawn = page(request, "health", {"is_busy": False, **places})
    busy = page(request, "health", {"is_busy": True, **places}, status=409)
    jobs = request.app.state.jobs
    return Examination(services(request), bytes(drawn.body).decode(), busy, lambda: jobs.stopping)


@router.post("/settings/sweep")
def sweep(request: Request) -> Response:
    """Asks for a sweep that repairs."""
    queue(request).enqueue(services(request).sweep.request())
    return redirect("/workers", done="sweep-queued")


@router.get("/settings/recovery-kit")
def kit(request: Request) -> Response:
    """The recovery kit without any secret."""
    content = recovery_kit(services(request))
    return Response(content, media_type="text/markdown", headers={"Content-Disposition": _KIT})
