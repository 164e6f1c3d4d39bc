"""How much a request may send: bodies are read into memory, also those of clients who are not signed in."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes; far more than any request of the API needs.
LARGEST_BODY = 1 << 20


class BodyLimit:
    """The ASGI layer: answers 413 to a larger body, before it is read where the client tells its size."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("Content-Length", "0")
        if told.isdecimal() and int(told) > LARGEST_BODY:  # the server has refused what is no number
            raise _too_large()
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                raise _too_large()
            return message

        await self._app(scope, limited, send)


def _too_large() -> HTTPException:
    return HTTPException(413, f"The request's body is larger than {LARGEST_BODY} bytes")
