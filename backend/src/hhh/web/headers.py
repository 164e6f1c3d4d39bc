"""Headers that go with every request and answer: the request's id, what browsers may do with answers, one log line."""

from __future__ import annotations

import re
import time
import uuid
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hhh.core.actor import Actor, ActorKind, acting

REQUEST_ID = "X-Request-ID"
#: What may stand in a log line as it is; any other id is replaced by one of ours.
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

#: A page of the console sets its own Content-Security-Policy and Cache-Control; these are what the API needs.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-site",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}

log = structlog.get_logger(__name__)


class RequestContext:
    """The outermost ASGI layer: gives the request its id, the answer its headers, and the log one line about both."""

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self._app = app
        self._headers = SECURITY_HEADERS | (_STRICT_TRANSPORT if https_only else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = _request_id(Headers(scope=scope).get(REQUEST_ID, ""))
        scope.setdefault("state", {})["request_id"] = identifier
        status = 0

        async def completed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(MutableHeaders(scope=message), identifier)
            await send(message)

        begun = time.perf_counter()
        asking = Actor(ActorKind.NOBODY, address=_client(scope), request_id=identifier)
        with structlog.contextvars.bound_contextvars(request_id=identifier), acting(asking):
            try:
                await self._app(scope, receive, completed)
            finally:
                _log_request(scope, status, time.perf_counter() - begun)

    def _complete(self, headers: MutableHeaders, identifier: str) -> None:
        headers[REQUEST_ID] = identifier
        for name, value in self._headers.items():
            headers.setdefault(name, value)


def _request_id(sent: str) -> str:
    return sent if _ACCEPTED_ID.fullmatch(sent) else uuid.uuid4().hex


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    log.info(
        "request",
        method=scope["method"],
        # Quoted again: a decoded path may hold line breaks and terminal codes. The query may hold secrets: left out.
        path=quote(scope["path"]),
        status=status or None,
        milliseconds=round(seconds * 1000, 1),
        client=_client(scope),
    )


def _client(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None
