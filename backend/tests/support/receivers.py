"""Receivers of alerts, real ones on loopback: a mail server, and a web server that keeps what it is sent."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from support.ports import free_port


class Mail(NamedTuple):
    """A mail that arrived."""

    to: list[str]
    subject: str
    text: str


class Mailbox:
    """A mail server that keeps what arrives. Make one with `a_mailbox`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[Mail] = []
        self._controller: Controller | None = None

    def url(self, *, to: str = "ops@example.com") -> str:
        """Of a channel that goes here."""
        return f"mailto://127.0.0.1:{self.port}?from=hhh@example.com&to={to}"

    def open(self) -> None:
        """Begins to listen."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def close(self) -> None:
        """Listens no more; a no-op when it does not."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Called by aiosmtpd for each address of a mail."""
        if address.startswith("unknown"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Called by aiosmtpd for each mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail: Message = message_from_bytes(content, policy=default)
        text = mail.get_payload(decode=True)
        assert isinstance(text, bytes)
        self.mails.append(Mail([*envelope.rcpt_tos], str(mail["Subject"]), text.decode()))
        return "250 OK"


@contextlib.contextmanager
def a_mailbox() -> Iterator[Mailbox]:
    """A mail server that listens, until the block is left."""
    mailbox = Mailbox(free_port())
    mailbox.open()
    try:
        yield mailbox
    finally:
        mailbox.close()


class WebHook:
    """A web server that keeps what it is sent, and answers what it is told to. Make one with `a_web_hook`."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.port: int = server.server_address[1]
        #: What was posted.
        self.posts: list[dict[str, Any]] = []
        #: Every path that was asked for, by any method.
        self.paths: list[str] = []
        self.status = 200
        #: Where it sends who asks, with a status that says so.
        self.location = ""
        #: Cleared, it answers nobody until it is set again.
        self.answers = threading.Event()
        self.answers.set()

    def url(self, secret: str = "hook") -> str:
        """Of a channel that goes here; the path is its secret."""
        return f"json://127.0.0.1:{self.port}/{secret}"

    @property
    def titles(self) -> list[str]:
        """Of what was posted."""
        return [each["title"] for each in self.posts]


@contextlib.contextmanager
def a_web_hook() -> Iterator[WebHook]:
    """A web server that listens, until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.answers.wait()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hook.paths.append(self.path)
            if hook.status < 300:
                hook.posts.append(json.loads(body))
            self._answer()

        def do_GET(self) -> None:
            hook.answers.wait()
            hook.paths.append(self.path)
            self._answer()

        def _answer(self) -> None:
            self.send_response(hook.status)
            if hook.location:
                self.send_header("Location", hook.location)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hook = WebHook(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield hook
        finally:
            hook.answers.set()
            server.shutdown()
            thread.join()
