"""The audit log: who did what, from where, and what became of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from hhh.models import Scope
from hhh.schemas.audit import AuditFilter, AuditPage, AuditQuery
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/audit", tags=["audit"], dependencies=[Depends(allowed(Scope.ADMIN))])

_LINES = "application/x-ndjson"


@router.get("")
def page(request: Request, asked: Annotated[AuditQuery, Query()]) -> AuditPage:
    """Events, newest first; hand `next_cursor` back as `cursor` for the next page."""
    return services(request).audit_log.page(asked)


@router.get(
    "/export",
    response_class=Response,
    responses={
        200: {
            "content": {_LINES: {"schema": {"type": "string"}}},
            "description": "One event a line, oldest first, and a last line with `end`: an export without it is not "
            "whole. `hhh audit verify --file` checks it.",
        }
    },
)
def export(request: Request, asked: Annotated[AuditFilter, Query()]) -> Response:
    """All events as lines of JSON."""
    return StreamingResponse(
        services(request).audit_log.export(asked),
        media_type=_LINES,
        headers={"Content-Disposition": 'attachment; filename="audit.jsonl"'},
    )
