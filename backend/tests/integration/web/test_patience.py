"""Clients that take their time, and clients by the thousand, keep the service from nobody."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI, Request

from hhh.web.body_limit import BodyLimit
from hhh.web.errors import LastResort, add_error_handlers
from hhh.web.patience import PatientProtocol
from support.waiting import wait_until

HEALTH = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#: Longer than any of them waits here; who is not closed by then fails.
PATIENCE = 30.0


class Hasty(PatientProtocol):
    """As in the service, only sooner."""

    head_seconds = 0.3
    most = 3


def application() -> FastAPI:
    """Reads what is posted, and nothing of what is sent with another method; the layers are those of the service."""
    app = FastAPI()
    add_error_handlers(app)
    app.add_middleware(BodyLimit, seconds=0.3)
    app.add_middleware(LastResort)
    app.add_api_route("/", read_all, methods=["POST"])
    app.add_api_route("/", read_nothing, methods=["GET", "DELETE"])
    return app


async def read_all(request: Request) -> int:
    return len(await request.body())


async def read_nothing() -> int:
    return 0


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[tuple[str, int]]:
    """A server with the protocol of the service."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Hasty, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, what="the server to start")
        yield listener.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """Where the server is."""
    with serving(application()) as address:
        yield address


@contextlib.contextmanager
def connected(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=PATIENCE) as client:
        yield client


def trickled(client: socket.socket, data: bytes) -> bytes:
    """What the server says to somebody who sends one more byte whenever they have waited for an answer in vain."""
    client.settimeout(0.02)
    for _ in range(int(PATIENCE / 0.02)):
        try:
            with contextlib.suppress(ConnectionError):
                client.sendall(data)
            return b"".join(iter(lambda: client.recv(4096), b""))
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
    raise AssertionError("the server still waits")


def test_a_head_that_does_not_come_ends_the_connection(address: tuple[str, int]) -> None:
    with connected(address) as client:
        assert client.recv(1) == b""


def test_a_head_that_trickles_ends_it_as_well(address: tuple[str, int]) -> None:
    with connected(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        assert trickled(client, b"x") == b""


def test_a_second_head_that_trickles_ends_it_as_well(address: tuple[str, int]) -> None:
    with connected(address) as client:
        client.sendall(HEALTH)
        assert b"200 OK" in client.recv(4096)
        client.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        assert trickled(client, b"x") == b""


def test_a_body_that_trickles_is_answered_408(address: tuple[str, int]) -> None:
    with connected(address) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        answer = trickled(client, b"x")
    assert b" 408 " in answer.splitlines()[0]
    assert b"did not arrive in time" in answer


def test_a_body_that_nobody_reads_ends_the_connection(address: tuple[str, int]) -> None:
    with connected(address) as client:
        client.sendall(b"DELETE / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert b" 200 " in client.recv(4096)
        assert trickled(client, b"x") == b""


def test_who_is_one_too_many_is_turned_away_at_once_and_the_others_are_served(address: tuple[str, int]) -> None:
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(connected(address)) for _ in range(Hasty.most)]
        with connected(address) as one_too_many, contextlib.suppress(ConnectionError):
            assert one_too_many.recv(1) == b""
        for client in first:
            client.sendall(HEALTH)
            assert b" 200 " in client.recv(4096)
