"""The first steps: is the database found, where do backups go, a key, the first backup, its proof."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router

router = page_router()


@router.get("/first-steps")
def index(request: Request) -> Response:
    """To be made."""
    return page(request, "first_steps", {"title": "First steps"})
