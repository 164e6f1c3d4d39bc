"""Who works, at what, and what waits."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.views import workers_view
from hhh.web.state import services, settings

router = page_router()


@router.get("/workers")
def index(request: Request) -> Response:
    """Workers, what runs and waits, and the upkeep of the last days."""
    known = services(request)
    workers = known.workers.list()
    many_machines = bool(settings(request).jobs_database_url.get_secret_value())
    context = {
        "workers": workers,
        "names": workers_view.names_of(workers),
        "untaken": workers_view.untaken(known.workers.untaken(), many_machines=many_machines),
        "jobs": known.job_listing.list(),
        "kind_in_words": workers_view.kind_in_words,
        "page_of": workers_view.page_of,
        "waits_for": workers_view.waits_for,
    }
    return page(request, "workers", context)


@router.post("/workers/jobs/{job_id}/cancel")
def cancel(request: Request, job_id: str) -> Response:
    """Has a job of any kind end."""
    services(request).job_listing.cancel(job_id)
    return redirect("/workers", done="cancelling")
