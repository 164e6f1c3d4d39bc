"""Asks a service on another machine, with a token. Everything that goes wrong is an error that says what to do."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urlsplit

from hhh.core import background
from hhh.core.errors import InvalidInput, ServiceFailed
from hhh.core.version import PRODUCT_VERSION

#: The variable that may hold the token.
TOKEN_VARIABLE = "HHH_TOKEN"  # noqa: S105  its name
_STANDARD_INPUT = "-"
_SERVICE_HINT = "is the service up, and the address right?"
_CERTIFICATE_HINT = "is the address the name in the certificate? For an authority of your own set SSL_CERT_FILE"
#: Bytes; more is no answer of ours.
_LARGEST_ANSWER = 32 << 20
_AT_ONCE = 1 << 16
_REFUSED = frozenset({http.client.UNAUTHORIZED, http.client.FORBIDDEN})
_REDIRECTED = range(300, 400)


@dataclass(frozen=True, slots=True)
class Remote:
    """A service that is asked.

    Args:
        url: its address, with the path before `/api`, if there is one.
        token: of the API.
        seconds: for a whole answer.
    """

    url: str
    token: str = field(repr=False)
    seconds: float

    def get(self, path: str) -> object:
        """What it answers, as JSON.

        Raises:
            ServiceFailed: it can't be reached, refuses the token, or answers something else.
        """
        asked = urllib.request.Request(  # noqa: S310  `checked_url` lets nothing else than HTTP pass
            f"{self.url}{path}",
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/json",
                "User-Agent": f"hhh/{PRODUCT_VERSION}",
            },
        )
        try:
            # The timeout of a socket begins anew with each byte, of which a server may send some for ever.
            return json.loads(background.begin(lambda: self._answer(asked), name="hhh-remote").result(self.seconds))
        except TimeoutError:
            raise self._too_slow() from None
        except (ValueError, RecursionError):
            raise self.unexpected() from None

    def unexpected(self) -> ServiceFailed:
        """The error of an answer that is none of ours."""
        return ServiceFailed(f"{self.url} answers something else than HHH Backup does", hint="is the address right?")

    def _answer(self, asked: urllib.request.Request) -> bytes:
        with self._mapped_errors(), self._opener().open(asked, timeout=self.seconds) as answer:
            return self._read(answer)

    def _opener(self) -> urllib.request.OpenerDirector:
        # A token that goes unencrypted goes to this machine alone, or where the operator said: to no proxy.
        proxies: dict[str, str] | None = None if self.url.startswith("https:") else {}
        return urllib.request.build_opener(_Stay, urllib.request.ProxyHandler(proxies))

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        content = bytearray()
        while some := answer.read1(_AT_ONCE):
            content += some
            if len(content) > _LARGEST_ANSWER:
                raise self.unexpected()
        return bytes(content)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except TimeoutError:
            raise self._too_slow() from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._too_slow() from None
            raise self._unreachable(error.reason) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _too_slow(self) -> ServiceFailed:
        return ServiceFailed(f"{self.url} gave no answer within {self.seconds:g} seconds", hint="is the service up?")

    def _unreachable(self, reason: object) -> ServiceFailed:
        told = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        hint = _CERTIFICATE_HINT if isinstance(reason, ssl.SSLCertVerificationError) else _SERVICE_HINT
        return ServiceFailed(f"{self.url} can't be reached: {told}", hint=hint)

    def _refusal(self, error: urllib.error.HTTPError) -> ServiceFailed:
        if error.code in _REDIRECTED:
            to = error.headers.get("Location", "")
            return ServiceFailed(f"{self.url} leads elsewhere: {to}", hint="name the address where the service is")
        code, message = _told(error)
        told = f"{self.url} answered {error.code} {code}: {message}"
        if error.code in _REFUSED:
            return ServiceFailed(
                told, hint="the token must be one of a super admin, with the scope backup:read, and not expired"
            )
        return ServiceFailed(told, hint="see the log of that service")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the token is for whom it was given to."""

    def redirect_request(self, *_: object) -> None:
        return None


def _told(error: urllib.error.HTTPError) -> tuple[str, str]:
    """The code and the message of an answer in our form; else what HTTP has for it."""
    try:
        inner = json.loads(error.read(_AT_ONCE))["error"]
        return str(inner["code"]), str(inner["message"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return "", str(error.reason)


def checked_url(url: str, *, insecure: bool) -> str:
    """The address, without a slash at its end.

    Raises:
        InvalidInput: a token can't be sent there.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits, parts = False, urlsplit("")
    if not fits or parts.query or parts.fragment or parts.username is not None or not url.isprintable() or " " in url:
        raise InvalidInput("--url is no address of a service", hint="e.g. https://backup.example.com")
    if parts.scheme == "http" and not insecure and not _is_here(parts):
        raise InvalidInput(
            "Over http:// everybody on the way could read the token", hint="use https://, or say --insecure"
        )
    return url.rstrip("/")


def _is_here(parts: SplitResult) -> bool:
    name = parts.hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def read_token(file: str | None) -> str:
    """The token: of a file, of standard input (`-`), or of `TOKEN_VARIABLE`.

    Raises:
        InvalidInput: there is none.
    """
    token = _from(file).strip() if file is not None else os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise InvalidInput(
            "There is no token to ask with",
            hint=f"name a file by --token-file, `-` for standard input, or {TOKEN_VARIABLE}",
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InvalidInput("What was given as a token is none", hint="it is one word, as `hhh tokens create` showed it")
    return token


def _from(file: str) -> str:
    if file == _STANDARD_INPUT:
        return _first_line(sys.stdin)
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as opened:
            return _first_line(opened)
    except OSError as error:
        raise InvalidInput(f"The token's file can't be read: {error.strerror}", hint=f"see {file}") from error


def _first_line(source: IO[str]) -> str:
    return source.readline(_AT_ONCE)
