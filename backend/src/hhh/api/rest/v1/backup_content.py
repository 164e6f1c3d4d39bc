"""What is in a backup: its contents without a restore, and the artifact itself."""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from hhh.models import Scope
from hhh.schemas.recovery import RecoveryCommands
from hhh.schemas.restore import ContentsResponse
from hhh.services.downloads import Form, Span
from hhh.web.ranges import asked_range, is_known
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/backups", tags=["backups"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_DOWNLOAD = [Depends(allowed(Scope.RESTORE_RUN))]

_OCTETS = "application/octet-stream"


@router.get("/{backup_id}/contents", dependencies=_READ)
def contents(request: Request, backup_id: str) -> ContentsResponse:
    """Tables, rows and definitions, from the facts and the archive's table of contents."""
    return services(request).contents.of(backup_id)


@router.get("/{backup_id}/recovery-commands", dependencies=_READ)
def recovery_commands(request: Request, backup_id: str) -> RecoveryCommands:
    """The commands that recover a backup without the service, with its own names, keys and hashes."""
    return services(request).recovery_commands.of(backup_id)


@router.get(
    "/{backup_id}/download",
    dependencies=_DOWNLOAD,
    response_class=Response,
    responses={
        200: {"content": {_OCTETS: {}}, "description": "All of it; it ends early if it turns out to be damaged."},
        206: {"content": {_OCTETS: {}}, "description": "The bytes that `Range` asks for."},
        304: {"description": "`If-None-Match` names it."},
        416: {"description": "The range begins behind the end."},
    },
)
def download(
    request: Request,
    backup_id: str,
    form: Annotated[
        Form, Query(description="`stored`: compressed, perhaps encrypted; `plain`: for pg_restore or sqlite3.")
    ] = Form.STORED,
) -> Response:
    """The artifact: as it is stored, or plain. Takes `Range` (one range), `If-Range` and `If-None-Match`."""
    downloads = services(request).downloads
    found = downloads.open(backup_id, form)
    etag = f'"{found.tag}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    if is_known(request.headers, etag):
        return Response(status_code=304, headers=headers)
    asked = asked_range(request.headers, etag, found.size)
    span = Span(*asked) if asked else None
    headers["Content-Length"] = str(span.length if span else found.size)
    headers["Content-Disposition"] = f'attachment; filename="{found.name}"'
    if span:
        headers["Content-Range"] = f"bytes {span.first}-{span.last}/{found.size}"
    return _Pieces(downloads.pieces(found, span), 206 if span else 200, headers)


class _Pieces(StreamingResponse):
    """Pieces that are made in threads; they are closed there too, also when the client goes away."""

    def __init__(self, pieces: Generator[bytes], status_code: int, headers: dict[str, str]) -> None:
        super().__init__(pieces, status_code, headers, _OCTETS)
        self._pieces = pieces

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._pieces.close)
