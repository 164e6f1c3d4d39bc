"""Targets: the databases that are backed up, made, changed and tried."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router

router = page_router()


@router.get("/targets")
def index(request: Request) -> Response:
    """To be made."""
    return page(request, "targets", {"title": "Targets"})
