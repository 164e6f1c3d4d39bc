"""Restores: what was restored, and a new one, from the recovery point to the receipt."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router

router = page_router()


@router.get("/restores")
def index(request: Request) -> Response:
    """To be made."""
    return page(request, "restores", {"title": "Restores"})
