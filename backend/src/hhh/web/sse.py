"""News of jobs as Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Each event has all that is known (`hhh.schemas.following.News`), so that a client may miss any but the last. Its id says
how far the client has heard; a stream that begins with it tells at once what is newer. One reader asks the database for
all streams of the process: it does not matter which process runs the jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import Any, cast

import anyio
import structlog
from fastapi import Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from hhh.core.errors import HHHError
from hhh.services.following import Following, Look

#: Seconds between two looks at what is followed; progress is written no more often.
_PAUSE = 0.5
#: Seconds of silence after which a comment tells proxies, and whoever sends to a client that is gone, of the stream.
_SILENCE = 15.0
#: Milliseconds after which a client that lost its stream begins another.
_RETRY = 2000
#: Seconds that the last words may take to a client that reads nothing.
_GOODBYE = 2.0

#: What the description of the API says of them.
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events `state`, `progress` and last `end`, each with all that is known as JSON, and an id for "
        "`Last-Event-ID`.",
    },
    204: {"description": "`Last-Event-ID` names the end."},
}

_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

log = structlog.get_logger(__name__)


class Listener:
    """One open stream, as its feed has it.

    Args:
        look: how its job was when it began.
        credential_id: of the session or token whose stream it is.
    """

    def __init__(self, look: Look, credential_id: str) -> None:
        self.look = look
        self.credential_id = credential_id
        self.is_over = False
        #: What sending to the client runs in.
        self.scope = anyio.CancelScope()
        self._news = asyncio.Event()

    def hear(self, look: Look) -> None:
        """Takes how the job is now; a client that is slow hears of the newest alone."""
        if look.position != self.look.position:
            self.look = look
            self._news.set()

    def end(self) -> None:
        """Ends the stream, though its job may go on."""
        if not self.is_over:
            self.is_over = True
            self.scope.deadline = anyio.current_time() + _GOODBYE
            self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Waits for news, or for the end; false when there were none for so long."""
        with anyio.move_on_after(seconds):
            await self._news.wait()
        has_news = self._news.is_set()
        self._news.clear()
        return has_news


class Feed:
    """Reads for all streams of a process while there are any. To be used from the event loop alone.

    Args:
        following: looks at jobs.
        is_stopping: whether the process was asked to stop.
        pause: seconds between two looks.
        silence: seconds after which a stream without news shows that it is alive.
    """

    def __init__(
        self, following: Following, is_stopping: Callable[[], bool], *, pause: float = _PAUSE, silence: float = _SILENCE
    ) -> None:
        self.silence = silence
        self._following = following
        self._is_stopping = is_stopping
        self._pause = pause
        self._listeners: set[Listener] = set()
        self._reader: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Tells it of changes while the block runs."""
        self._listeners.add(listener)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._reader is not None:
                self._reader.cancel()
                self._reader = None

    async def _read(self) -> None:
        turn = anyio.CapacityLimiter(1)  # a thread of its own: all others may be busy with what waits
        is_away = False
        try:
            while not self._is_stopping():
                try:
                    await self._look(turn)
                    is_away = False
                except HHHError as error:
                    if not is_away:
                        log.warning("feed_interrupted", error=str(error))
                    is_away = True
                await asyncio.sleep(self._pause)
        finally:
            for each in self._listeners:
                each.end()

    async def _look(self, turn: anyio.CapacityLimiter) -> None:
        listeners = list(self._listeners)
        jobs, credentials = {each.look.news.id for each in listeners}, {each.credential_id for each in listeners}
        looks, live = await anyio.to_thread.run_sync(self._look_at, jobs, credentials, limiter=turn)
        for each in listeners:
            look = looks.get(each.look.news.id)
            if look is None or each.credential_id not in live:
                each.end()
            else:
                each.hear(look)

    def _look_at(
        self, jobs: Collection[str], credentials: Collection[str]
    ) -> tuple[Mapping[str, Look], Collection[str]]:
        return self._following.looks(jobs), self._following.super_admins(credentials)


class EventStream(StreamingResponse):
    """The answer with the events of one job, until it ends, or its client, its session or token, or the process does.

    Args:
        feed: of the process.
        look: how the job is now.
        credential_id: of the session or token whose stream it is.
        heard: the id of the event that the client has heard last, if any.
    """

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, look: Look, *, credential_id: str, heard: str | None) -> None:
        self._feed = feed
        self._listener = Listener(look, credential_id)
        super().__init__(self._events(heard), headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's own
        listener = self._listener
        # The listener is forgotten here whatever ends the stream: nobody closes a generator that is left.
        with self._feed.listening(listener), listener.scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._leave_with_the_client, receive)
                await self.stream_response(send)
                listener.scope.cancel()

    async def _leave_with_the_client(self, receive: Receive) -> None:
        await self.listen_for_disconnect(receive)
        self._listener.scope.cancel()

    async def _events(self, heard: str | None) -> AsyncIterator[str]:
        listener, told = self._listener, None
        yield f"retry: {_RETRY}\n\n"
        while True:
            look = listener.look
            if look.position != heard:
                yield _event(look, told)
                heard, told = look.position, look
            if look.is_last:
                return
            if not await listener.wait(self._feed.silence):
                yield ": still here\n\n"
            if listener.is_over:
                return


def event_stream(request: Request, look: Look, *, credential_id: str, heard: str | None) -> Response:
    """The events of a job.

    Args:
        request: asks for them.
        look: how the job is now.
        credential_id: of the session or token that it came with.
        heard: `Last-Event-ID`. Whoever has heard the end is answered 204, after which no browser asks again.
    """
    if look.is_last and look.position == heard:
        return Response(status_code=204)
    return EventStream(cast("Feed", request.app.state.feed), look, credential_id=credential_id, heard=heard)


def _event(look: Look, told: Look | None) -> str:
    data = look.news.model_dump_json()
    return f"event: {_name(look, told)}\nid: {look.position}\ndata: {data}\n\n"


def _name(look: Look, told: Look | None) -> str:
    if look.is_last:
        return "end"
    without_progress = {"progress": None}
    is_same = told is not None and (
        told.news.model_copy(update=without_progress) == look.news.model_copy(update=without_progress)
    )
    return "progress" if is_same else "state"
