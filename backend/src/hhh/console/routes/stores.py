"""Stores: where backups go, made, changed and tried."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router

router = page_router()


@router.get("/stores")
def index(request: Request) -> Response:
    """To be made."""
    return page(request, "stores", {"title": "Stores"})
