"""The one place where errors become HTTP answers: JSON for programs, a page for people (`app.state.error_page`).

    {"detail": "…", "error": {"code": "ERR_…", "message": "…", "request_id": "…", …}}

``detail`` and ``error.message`` are the same sentence. Beside them there may be ``hint`` (what to do) and, for requests
of the wrong form, ``fields``. What the client sent is never repeated: it may be a password.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hhh.core.errors import DatabaseUnavailable, HHHError, InvalidInput, NotFound
from hhh.web.pages import wants_page
from hhh.web.refusals import Refusals
from hhh.web.state import request_id

#: Here the runbook knows one failure only: 500. The code says which (elsewhere these errors are 503).
LEGACY_PATHS = frozenset({"/api/v1/backups/trigger", "/api/v1/backups/logs", "/api/v1/backups/stats"})

_HTTP_CODES = {400: InvalidInput.code, 404: NotFound.code, 405: "ERR_METHOD_NOT_ALLOWED"}
_UNEXPECTED = "Internal error"

#: Draws the page of an error; main.py puts the console's on the application.
ErrorPage = Callable[[Request, "Answer"], Response]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to an error."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


def add_error_handlers(app: FastAPI) -> None:
    """Renders what FastAPI and Starlette would otherwise answer in their own shapes."""
    app.state.refusals = Refusals()
    for kind in (HHHError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _handle)


class LastResort:
    """The ASGI layer that answers errors of the layers within it, and those that nobody expected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started:
                # Half an answer is out: only a broken connection tells the client.
                raise
            answer = await _handle(Request(scope), error)
            await answer(scope, receive, send)


def respond(request: Request, error: Exception) -> Response:
    """The answer to an error; logged when it is the service's fault."""
    answer = _answer(request, error)
    if answer.status >= 500:  # noqa: PLR2004  the class of server errors
        # Where the message is made for the operator it says enough; the rest is for whoever mends the program.
        unforeseen = answer.code == HHHError.code
        log.error("request_failed", code=answer.code, error=str(error), exc_info=error if unforeseen else None)
    if wants_page(request) and (page := getattr(request.app.state, "error_page", None)) is not None:
        return cast("ErrorPage", page)(request, answer)
    inner = {"code": answer.code, "message": answer.message, "request_id": request_id(request), **answer.more}
    return JSONResponse(
        {"detail": answer.message, "error": inner}, status_code=answer.status, headers=answer.headers or None
    )


async def _handle(request: Request, error: Exception) -> Response:
    refusals: Refusals = request.app.state.refusals
    if isinstance(error, HHHError) and refusals.concerns(error):
        await run_in_threadpool(refusals.note, request, error)
    # A page may have to ask the database who is signed in.
    return await run_in_threadpool(respond, request, error) if wants_page(request) else respond(request, error)


def _answer(request: Request, error: Exception) -> Answer:
    if isinstance(error, HHHError):
        hint = {"hint": _printable(error.hint)} if error.hint else {}
        more = {**error.details, **hint}
        return Answer(_status(request, error), error.code, _printable(error.message), error.headers, more)
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _http(error)
    return Answer(HHHError.status, HHHError.code, _UNEXPECTED)


def _status(request: Request, error: HHHError) -> int:
    if isinstance(error, DatabaseUnavailable) and request.scope["path"] in LEGACY_PATHS:
        return HHHError.status
    return error.status


def _invalid(error: RequestValidationError) -> Answer:
    fields = [
        {"loc": [_printable(str(part)) for part in item["loc"]], "message": _printable(item["msg"])}
        for item in error.errors()
    ]
    message = "; ".join(f"{'.'.join(each['loc'])}: {each['message']}" for each in fields) or "The request is invalid"
    # curl's --data alone sends a form: then the whole body is what does not fit.
    whole_body = any(each["loc"] == ["body"] for each in fields)
    hint = {"hint": "send a JSON object, with the header Content-Type: application/json"} if whole_body else {}
    return Answer(InvalidInput.status, InvalidInput.code, message, more={"fields": fields, **hint})


def _http(error: HTTPException) -> Answer:
    # FastAPI answers 400 to a body that it can't even read; to a client that is the same as one that does not fit.
    status = InvalidInput.status if error.status_code == 400 else error.status_code  # noqa: PLR2004
    code = _HTTP_CODES.get(error.status_code, HHHError.code if status >= 500 else f"ERR_HTTP_{status}")  # noqa: PLR2004
    return Answer(status, code, str(error.detail), dict(error.headers or {}))


def _printable(text: str) -> str:
    # A client may name a field with half a surrogate pair, which no answer can be encoded with.
    return text.encode("utf-8", "replace").decode()
