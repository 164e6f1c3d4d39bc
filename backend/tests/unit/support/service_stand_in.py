"""A stand-in for `hhh serve` that speaks the contract of sign-in, for the tests of the rig itself."""

import http.server
import json
import os
import signal
import subprocess
import sys
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/environment":
            self.answer({"environment": dict(os.environ), "folder": str(Path.cwd())})
        else:
            self.answer({"status": "ok"}, cookie="hhh_csrf=early; Path=/")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/echo":
            self.answer({"token": self.headers["X-CSRF-Token"], "cookie": self.headers["Cookie"]})
        elif self.path == "/child":
            self.answer({"pid": subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]).pid})
        elif body == {"email": os.environ["HHH_ADMIN_EMAIL"], "password": os.environ["HHH_ADMIN_PASSWORD"]}:
            self.answer({}, cookie="hhh_csrf=bound; Path=/")
        else:
            self.answer({}, status=401)

    def answer(self, value: object, *, status: int = 200, cookie: str | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def leave(*_: object) -> None:
    say("leaving in good order")
    sys.exit(0)


signal.signal(signal.SIGTERM, leave)
say("starting")
http.server.ThreadingHTTPServer((os.environ["HHH_HOST"], int(os.environ["HHH_PORT"])), Handler).serve_forever()
