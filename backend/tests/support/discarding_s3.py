"""An S3 that takes any object and keeps none: for measuring whoever sends."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from support.ports import LOOPBACK

_PIECE = 1 << 16
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class DiscardingS3:
    """One on a port of its own. A context manager.

    Args:
        pause: seconds to wait before the body of a part is read.
    """

    def __init__(self, pause: float = 0) -> None:
        #: Bytes of parts that have come.
        self.received = 0
        self._never = threading.Event()
        self._pause = pause
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), type("Handler", (_Handler,), {"store": self}))
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        """The address to give to clients."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Be as slow as it is."""
        self._never.wait(self._pause)

    def count(self, size: int) -> None:
        """Note what came."""
        with self._lock:
            self.received += size


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: DiscardingS3

    def do_PUT(self) -> None:
        self.store.wait()
        left = int(self.headers["Content-Length"])
        while left and (piece := self.rfile.read(min(left, _PIECE))):
            left -= len(piece)
            self.store.count(len(piece))
        self._answer("")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = urlsplit(self.path).path.rsplit("/", 1)[-1]
        if "uploads" in urlsplit(self.path).query.split("=")[0]:
            self._answer(
                f"<InitiateMultipartUploadResult {_NAMESPACE}><Bucket>b</Bucket><Key>{key}</Key>"
                "<UploadId>1</UploadId></InitiateMultipartUploadResult>"
            )
        else:
            self._answer(
                f"<CompleteMultipartUploadResult {_NAMESPACE}><Bucket>b</Bucket><Key>{key}</Key>"
                '<ETag>"1"</ETag></CompleteMultipartUploadResult>'
            )

    def _answer(self, body: str) -> None:
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""
