"""Streams of events, between the rows of jobs and an ASGI server."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from fastapi import Request
from sqlalchemy import event, update
from starlette.types import Message

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable
from hhh.jobs.worker import working
from hhh.models import Job, JobKind, JobState, Scope
from hhh.schemas.api_token import TokenRequest
from hhh.services import auth, known_places
from hhh.services.api_tokens import ApiTokens
from hhh.services.container import Services
from hhh.services.following import Following, Look
from hhh.services.sign_in import sign_in
from hhh.web.sse import EventStream, Feed, event_stream
from support.local_services import services_with_a_target
from support.logs import Log
from support.sign_in import EMAIL, PASSWORD, make_user

_SECONDS = 20


class Client:
    """Who reads a stream: what came, and how it goes away."""

    def __init__(self, *, reads: bool = True) -> None:
        self.events: list[dict[str, str]] = []
        self.comments = 0
        self.gone = asyncio.Event()
        self._reads = reads

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self._reads:
            await anyio.sleep_forever()
        for part in message.get("body", b"").decode().split("\n\n"):
            if part.startswith(":"):
                self.comments += 1
            elif "data: " in part:
                self.events.append(dict(line.split(": ", 1) for line in part.splitlines()))

    async def wait_for(self, condition: Callable[["Client"], bool]) -> None:
        with anyio.fail_after(_SECONDS):
            while not condition(self):  # noqa: ASYNC110  it may be about what no client hears
                await asyncio.sleep(0.005)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(each["event"], each["id"]) for each in self.events]


class Bench:
    """One backup, a super admin who is signed in, and a feed."""

    def __init__(self, services: Services, credential_id: str, backup_id: str) -> None:
        self.services, self.credential_id, self.backup_id = services, credential_id, backup_id
        self.is_stopping = False
        self.feed = self.new_feed()

    def new_feed(self, following: Following | None = None, *, silence: float = 60) -> Feed:
        return Feed(following or self.services.following, lambda: self.is_stopping, pause=0.02, silence=silence)

    def look(self) -> Look:
        return self.services.following.look(JobKind.BACKUP, self.backup_id)

    def change(self, **values: object) -> None:
        with self.services.database.transaction() as session:
            session.execute(update(Job).where(Job.id == self.backup_id).values(**values, version=Job.version + 1))

    @contextlib.asynccontextmanager
    async def streaming(
        self, *, heard: str | None = None, look: Look | None = None, reads: bool = True, feed: Feed | None = None
    ) -> AsyncIterator[tuple[Client, "asyncio.Task[None]"]]:
        client = Client(reads=reads)
        stream = EventStream(feed or self.feed, look or self.look(), credential_id=self.credential_id, heard=heard)
        task = asyncio.create_task(stream({"type": "http"}, client.receive, client.send))
        try:
            yield client, task
        finally:
            client.gone.set()
            await ended(task)


async def ended(task: "asyncio.Task[None]") -> None:
    with anyio.fail_after(_SECONDS):
        await task


@pytest.fixture
def bench(tmp_path: Path, sqlite_database: Database, settings: Settings) -> Iterator[Bench]:
    services = services_with_a_target(tmp_path, sqlite_database)
    make_user(sqlite_database)
    signed_in = sign_in(
        sqlite_database, settings, email=EMAIL, password=PASSWORD, client=known_places.Client("127.0.0.1")
    )
    with working(services) as worker:
        backup_id = worker.create(services.backups.request("source"))
        yield Bench(services, signed_in.principal.credential_id, backup_id)


def test_a_stream_tells_every_change_and_ends_with_the_job(bench: Bench) -> None:
    async def run() -> None:
        async with bench.streaming() as (client, task):
            await client.wait_for(lambda each: len(each.events) == 1)
            bench.change(state=JobState.RUNNING, attempt=1)
            await client.wait_for(lambda each: len(each.events) == 2)
            bench.change(progress={"stage": "stream", "raw_bytes": 1})
            await client.wait_for(lambda each: len(each.events) == 3)
            bench.change(cancel_requested=True)
            await client.wait_for(lambda each: len(each.events) == 4)
            bench.change(state=JobState.CANCELLED)
            await ended(task)
        assert client.told == [
            ("state", "0/0"),
            ("state", "1/1"),
            ("progress", "1/2"),
            ("state", "1/3"),
            ("end", "1/4"),
        ]

    asyncio.run(run())


def test_who_comes_back_hears_at_once_what_is_newer_and_nothing_else(bench: Bench) -> None:
    async def run() -> None:
        before = bench.look()
        async with bench.streaming(heard=before.position) as (client, _):
            bench.change(state=JobState.RUNNING, attempt=1)
            await client.wait_for(lambda each: bool(each.events))
            assert client.told == [("state", "1/1")]
        bench.change(progress={"stage": "stream"})
        bench.change(state=JobState.SUCCESS, progress=None)
        for heard in (before.position, "1/2", "nonsense", None):
            async with bench.streaming(heard=heard) as (client, task):
                await ended(task)
                assert client.told == [("end", "1/3")]

    asyncio.run(run())


def test_who_has_heard_the_end_is_told_not_to_come_back(bench: Bench) -> None:
    bench.change(state=JobState.SUCCESS)
    request = Request({"type": "http"})
    answer = event_stream(request, bench.look(), credential_id=bench.credential_id, heard=bench.look().position)
    assert (answer.status_code, answer.body) == (204, b"")


def test_a_stream_without_news_shows_that_it_is_alive(bench: Bench) -> None:
    async def run() -> None:
        async with bench.streaming(feed=bench.new_feed(silence=0.01)) as (client, _):
            await client.wait_for(lambda each: each.comments >= 3)
            assert client.told == [("state", "0/0")]

    asyncio.run(run())


def test_a_stream_is_forgotten_when_its_client_goes_away(bench: Bench) -> None:
    async def run() -> None:
        async with bench.streaming() as (staying, _):
            async with bench.streaming() as (going, task):
                await going.wait_for(lambda each: bool(each.events))
                going.gone.set()
                await ended(task)
            bench.change(attempt=1)
            await staying.wait_for(lambda each: len(each.events) == 2)
            assert len(going.events) == 1
        assert len(asyncio.all_tasks()) == 1  # nobody reads for nobody
        async with bench.streaming() as (later, _):
            bench.change(attempt=2)
            await later.wait_for(lambda each: each.told[-1:] == [("state", "2/2")])

    asyncio.run(run())


@pytest.mark.parametrize("reads", [True, False], ids=["a client that reads", "a client that reads nothing"])
def test_streams_end_when_the_process_is_asked_to_stop(bench: Bench, *, reads: bool) -> None:
    async def run() -> None:
        async with bench.streaming(reads=reads) as (_, task):
            await asyncio.sleep(0)
            bench.is_stopping = True
            await ended(task)
        async with bench.streaming() as (late, task):
            await ended(task)
            assert late.told == [("state", "0/0")]

    asyncio.run(run())


def test_a_stream_ends_with_its_session(bench: Bench) -> None:
    async def run() -> None:
        async with bench.streaming() as (client, task):
            await client.wait_for(lambda each: bool(each.events))
            with bench.services.database.transaction() as session:
                auth.sign_out(session, session_id=bench.credential_id, refresh_token=None)
            await ended(task)

    asyncio.run(run())


def test_a_stream_ends_with_its_token(bench: Bench) -> None:
    tokens = ApiTokens(bench.services.database)
    bench.credential_id = tokens.create(EMAIL, TokenRequest(name="ci", scopes=[Scope.BACKUP_READ])).id

    async def run() -> None:
        async with bench.streaming() as (client, task):
            await client.wait_for(lambda each: bool(each.events))
            bench.change(progress={"stage": "half"})
            await client.wait_for(lambda each: len(each.events) > 1)
            tokens.revoke(bench.credential_id)
            await ended(task)

    asyncio.run(run())


def test_a_stream_ends_when_its_job_is_gone(bench: Bench) -> None:
    async def run() -> None:
        async with bench.streaming() as (client, task):
            await client.wait_for(lambda each: bool(each.events))
            with bench.services.database.transaction() as session:
                session.delete(session.get(Job, bench.backup_id))
            await ended(task)

    asyncio.run(run())


def test_an_outage_of_the_database_ends_no_stream(bench: Bench, log: Log) -> None:
    away = [True] * 3

    class Away(Following):
        def looks(self, job_ids: object) -> dict[str, Look]:
            if away:
                away.pop()
                raise DatabaseUnavailable("The service's own database failed: connection refused")
            return super().looks(job_ids)  # type: ignore[arg-type]

    following = Away(bench.services.database, bench.services.cancelling)

    async def run() -> None:
        async with bench.streaming(feed=bench.new_feed(following)) as (client, _):
            bench.change(attempt=1)
            await client.wait_for(lambda each: each.told[-1:] == [("state", "1/1")])

    asyncio.run(run())
    assert away == []
    [told] = log.lines("feed_interrupted")
    assert "connection refused" in told["error"]


def test_many_streams_cost_no_more_queries_and_no_more_threads_than_one(bench: Bench) -> None:
    statements: list[str] = []
    looked = [0]

    class Counting(Following):
        def looks(self, job_ids: object) -> dict[str, Look]:
            looked[0] += 1
            return super().looks(job_ids)  # type: ignore[arg-type]

    feed = bench.new_feed(Counting(bench.services.database, bench.services.cancelling))

    async def run() -> None:
        look = bench.look()
        async with contextlib.AsyncExitStack() as streams:
            clients = [
                (await streams.enter_async_context(bench.streaming(look=look, feed=feed)))[0] for _ in range(200)
            ]
            threads = threading.active_count()
            event.listen(
                bench.services.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
            )
            before = looked[0]
            await clients[0].wait_for(lambda _: looked[0] >= before + 5)
            assert len([each for each in statements if each.startswith("SELECT")]) <= 2 * (looked[0] - before + 1)
            assert threading.active_count() <= threads + 1
            bench.change(state=JobState.SUCCESS)
            for client in clients:
                await client.wait_for(lambda each: each.told == [("state", "0/0"), ("end", "0/1")])

    asyncio.run(run())
