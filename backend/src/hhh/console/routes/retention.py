"""Retention: what of a target is kept, as a calendar, and why."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router

router = page_router()


@router.get("/targets/{name}/retention")
def index(request: Request, name: str) -> Response:
    """To be made."""
    return page(request, "retention", {"title": "Retention", "name": name})
