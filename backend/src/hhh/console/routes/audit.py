"""The audit log: who did what, from where, and what became of it."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.views import audit_view
from hhh.web.state import services

router = page_router()


@router.get("/audit")
def index(request: Request) -> Response:
    """Events, newest first: narrowed, a page of them."""
    asked = audit_view.read(request.query_params)
    found = services(request).audit_log.page(asked.query) if asked.query is not None else None
    names = services(request).audit_names.of(found.items) if found else {}
    context = {
        "asked": asked,
        "rows": [audit_view.row(event, names) for event in found.items] if found else [],
        "actions": {"": "Any", **audit_view.ACTIONS},
        "results": audit_view.RESULTS,
        "targets": services(request).targets.names(),
        "head": found.head if found else None,
        "older": asked.link(found.next_cursor) if found and found.next_cursor else "",
        "newest": asked.link() if asked.query is not None and asked.query.cursor else "",
    }
    return page(request, "audit", context, status=422 if asked.errors else 200)


@router.get("/audit/export")
def export(request: Request) -> Response:
    """Leads to the file; with a session that is carried on."""
    asked = audit_view.read(request.query_params)
    return redirect(asked.link() if asked.errors else asked.api_export)
