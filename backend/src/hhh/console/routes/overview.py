"""The overview: whether each database can be got back."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router
from hhh.web.state import services

router = page_router()


@router.get("/")
def overview(request: Request) -> Response:
    """One card per target, the worst first."""
    return page(request, "overview", {"targets": services(request).recoverability.all()})
