"""How much a request may send, and how long it may take: bodies are read into memory, also of who is not signed in."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes; far more than any request of the API needs.
LARGEST_BODY = 1 << 20
#: For all of it.
BODY_SECONDS = 60.0
#: What is still on its way is not waited for.
_CLOSE = {"Connection": "close"}


class BodyLimit:
    """The ASGI layer: answers 413 to a larger body, unread where the client tells its size, and 408 to a slow one.

    Args:
        app: what is behind it.
        seconds: for a whole body.
    """

    def __init__(self, app: ASGIApp, *, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("Content-Length", "0")
        if told.isdecimal() and int(told) > LARGEST_BODY:  # the server has refused what is no number
            raise _too_large()
        received, is_complete = 0, False
        deadline = anyio.current_time() + self._seconds

        async def limited() -> Message:
            nonlocal received, is_complete
            if is_complete:  # whoever asks now waits for the client to leave
                return await receive()
            message = await _before(deadline, receive)
            received += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if received > LARGEST_BODY:
                raise _too_large()
            return message

        await self._app(scope, limited, send)


async def _before(deadline: float, receive: Receive) -> Message:
    with anyio.move_on_after(deadline - anyio.current_time()):
        return await receive()
    raise HTTPException(408, "The request's body did not arrive in time", headers=_CLOSE)


def _too_large() -> HTTPException:
    return HTTPException(413, f"The request's body is larger than {LARGEST_BODY} bytes", headers=_CLOSE)
