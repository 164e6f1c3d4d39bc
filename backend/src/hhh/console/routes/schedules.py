"""Schedules: when targets are backed up and verified."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router

router = page_router()


@router.get("/schedules")
def index(request: Request) -> Response:
    """To be made."""
    return page(request, "schedules", {"title": "Schedules"})
