"""How a download is sent: in pieces that are made in threads, and given up where nobody takes them."""

import threading
from collections.abc import Generator

import anyio
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from hhh.api.rest.v1.backup_content import _Pieces


class Made:
    """Pieces without end, that know who makes them and when they are given up."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.closed_in: int | None = None

    def pieces(self) -> Generator[bytes]:
        try:
            while True:
                self.threads.add(threading.get_ident())
                yield bytes(1000)
        finally:
            self.closed_in = threading.get_ident()


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_a_download_is_given_up_when_its_client_goes_away(spec_version: str) -> None:
    made = Made()
    sent: list[Message] = []

    async def call() -> None:
        gone = anyio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if len(sent) > 5:
                gone.set()
                if spec_version == "2.4":
                    raise OSError("nobody listens")

        response = _Pieces(made.pieces(), 200, {"Content-Length": "1000000"})
        await response({"type": "http", "asgi": {"spec_version": spec_version}}, receive, send)

    try:
        anyio.run(call)
    except ClientDisconnect:
        assert spec_version == "2.4"

    assert made.closed_in is not None
    assert threading.get_ident() not in {*made.threads, made.closed_in}
    assert [message["type"] for message in sent[:2]] == ["http.response.start", "http.response.body"]
