"""Drills: what was verified, with what came of it, and the reports that prove it."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router

router = page_router()


@router.get("/drills")
def index(request: Request) -> Response:
    """To be made."""
    return page(request, "drills", {"title": "Drills"})
