"""An HTTP proxy in front of a store that fails in the way and at the moment a test asks for."""

import enum
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from support.ports import LOOPBACK
from support.s3 import S3Bucket
from support.waiting import wait_until

_PIECE = 64 * 1024

#: Headers about one connection, not about the message; Expect is answered by the proxy itself.
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect", "te", "trailer", "upgrade"}


@dataclass(frozen=True)
class Request:
    """What a fault can go by: the request's first line, taken apart."""

    method: str
    #: Still percent-encoded, as it was sent and signed.
    path: str
    query: dict[str, str]

    @classmethod
    def parse(cls, method: str, target: str) -> "Request":
        """From a request line; parameters without a value (`?uploads`) have the value ''."""
        parts = urlsplit(target)
        return cls(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))


def any_request(request: Request) -> bool:
    """Matches every request."""
    return True


def part_upload(request: Request) -> bool:
    """Matches the upload of one part of a multipart upload."""
    return request.method == "PUT" and "partNumber" in request.query


def any_upload(request: Request) -> bool:
    """Matches what carries an object's bytes: a part, or an object in one piece."""
    return request.method == "PUT"


def completion(request: Request) -> bool:
    """Matches the request that makes an object of a multipart upload."""
    return request.method == "POST" and "uploadId" in request.query


class Kind(enum.Enum):
    """What a fault does."""

    ANSWER = enum.auto()
    DROP = enum.auto()
    STALL = enum.auto()


@dataclass
class Fault:
    """One way to fail, for requests that `where` matches, `times` times (None: until removed)."""

    kind: Kind
    where: Callable[[Request], bool]
    times: int | None = None
    status: int = 500
    after_bytes: int = 0
    #: Requests that it has struck.
    hits: int = 0
    _released: threading.Event = field(default_factory=threading.Event, repr=False)

    def wait_for_hit(self, count: int = 1, *, seconds: float = 30) -> None:
        """Wait until it has struck that many requests."""
        wait_until(lambda: self.hits >= count, seconds=seconds, what=f"{count} hits of {self}")

    def release(self) -> None:
        """Let stalled requests, and those that come later, through."""
        self._released.set()


class FaultyProxy:
    """Forwards HTTP/1.1 to `upstream`, host header and body framing as they came, unless a fault strikes.

    Faults strike in the order in which they were made; a request is struck by one at most.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._requests: list[Request] = []
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """The address to give to clients."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        """All requests so far, also those that a fault struck."""
        with self._lock:
            return list(self._requests)

    def count(self, where: Callable[[Request], bool] = any_request) -> int:
        """How many requests so far match."""
        return sum(1 for request in self.requests if where(request))

    def answer(self, status: int, *, where: Callable[[Request], bool] = any_request, times: int | None = None) -> Fault:
        """Take the whole body and answer with an S3 error of that status (500, 503 …); nothing reaches the store."""
        return self._add(Fault(Kind.ANSWER, where, times, status=status))

    def drop(
        self, *, after_bytes: int = 1, where: Callable[[Request], bool] = any_upload, times: int | None = None
    ) -> Fault:
        """Reset the connection once that many bytes of the request's body have been read and none forwarded."""
        return self._add(Fault(Kind.DROP, where, times, after_bytes=after_bytes))

    def stall(self, *, where: Callable[[Request], bool] = any_request, times: int | None = None) -> Fault:
        """Hold requests, before their body is read, until the fault is released."""
        return self._add(Fault(Kind.STALL, where, times))

    def clear(self) -> None:
        """Remove all faults and let go what is stalled."""
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    def close(self) -> None:
        """Stop serving."""
        self.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def strike(self, request: Request) -> Fault | None:
        """Note the request, and choose the fault that strikes it."""
        with self._lock:
            self._requests.append(request)
            for fault in self._faults:
                if (fault.times is None or fault.hits < fault.times) and fault.where(request):
                    fault.hits += 1
                    return fault
        return None

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        super().__init__((LOOPBACK, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client has gone, as a client may

    def serve(self) -> None:
        request = Request.parse(self.command, self.path)
        match self.server.proxy.strike(request):
            case Fault(kind=Kind.ANSWER, status=status):
                self._refuse(status)
            case Fault(kind=Kind.DROP, after_bytes=limit):
                self._drop(limit)
            case Fault(kind=Kind.STALL) as fault:
                fault._released.wait()
                self._forward()
            case _:
                self._forward()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve  # noqa: N815 - the standard library's names

    def _refuse(self, status: int) -> None:
        for _ in self._body():
            pass
        code = "SlowDown" if status == 503 else "InternalError"
        body = f"<Error><Code>{code}</Code><Message>made by a test</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _drop(self, limit: int) -> None:
        seen = 0
        for piece in self._body(min(limit, _PIECE)):
            seen += len(piece)
            if seen >= limit:
                break
        # Closing without lingering sends a reset instead of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _forward(self) -> None:
        upstream = self.server.proxy.upstream
        store = http.client.HTTPConnection(str(upstream.hostname), upstream.port)
        try:
            self._send_on(store)
            self._send_back(store.getresponse())
        finally:
            store.close()

    def _send_on(self, store: http.client.HTTPConnection) -> None:
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _OF_THE_CONNECTION:
                store.putheader(name, value)
        if self._is_chunked():
            store.putheader("Transfer-Encoding", "chunked")
        store.endheaders()
        for piece in self._body():
            store.send(_chunk(piece) if self._is_chunked() else piece)
        if self._is_chunked():
            store.send(_chunk(b""))

    def _send_back(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.headers.items():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        has_body = self.command != "HEAD" and response.status not in {204, 304}
        chunked = has_body and response.headers["Content-Length"] is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while has_body and (piece := response.read(_PIECE)):
            self.wfile.write(_chunk(piece) if chunked else piece)
        if chunked:
            self.wfile.write(_chunk(b""))

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _body(self, piece: int = _PIECE) -> Iterator[bytes]:
        """The request's body in pieces, whatever its framing; ends early if the client does."""
        if not self._is_chunked():
            yield from self._exactly(int(self.headers.get("Content-Length", 0)), piece)
            return
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield from self._exactly(size, piece)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _exactly(self, size: int, piece: int) -> Iterator[bytes]:
        while size > 0 and (data := self.rfile.read(min(size, piece))):
            size -= len(data)
            yield data

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: `requests` tells what came."""


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class FaultyS3:
    """A bucket behind a proxy that can be told to fail."""

    #: Its `endpoint` is the proxy's; its helpers look at the server directly.
    bucket: S3Bucket
    proxy: FaultyProxy


@pytest.fixture
def faulty_s3(s3: S3Bucket) -> Iterator[FaultyS3]:
    """A fresh bucket behind a proxy without faults yet."""
    proxy = FaultyProxy(s3.server_endpoint)
    yield FaultyS3(replace(s3, endpoint=proxy.endpoint), proxy)
    proxy.close()
