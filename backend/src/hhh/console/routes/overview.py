"""The overview: whether each database can be got back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router
from hhh.console.views.overview_view import Asked, overview_of
from hhh.web.state import services

router = page_router()


@router.get("/")
def overview(
    request: Request,
    state: str = "",
    search: Annotated[str, Query(alias="q", max_length=100)] = "",
    number: Annotated[int, Query(alias="page", ge=1)] = 1,
) -> Response:
    """One card per target, the worst first, and what became of their backups in the last days."""
    asked = Asked(state, search.strip(), number)
    return page(request, "overview", {"overview": overview_of(services(request), asked)})
