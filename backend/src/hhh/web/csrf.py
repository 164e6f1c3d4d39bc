"""Protection against requests that another site makes a browser send.

Every mutating request that comes with a session cookie needs the header `X-CSRF-Token`, equal to the cookie `hhh_csrf`
and signed by us for that very session: a token that somebody planted in the browser, even a real one of their own
session, is refused. The form of a page sends it as the field `csrf_token`, and needs it without a session as well:
another site must not sign anybody in. It is a layer around the whole application, so that no route can forget it.

A request with an API token needs none, since here it loses its cookies: it is in no session's name (`hhh.web.bearer`).
"""

from __future__ import annotations

import secrets

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hhh.core.errors import CsrfInvalid
from hhh.core.security import authentication_code, derive_key, same
from hhh.web import cookies
from hhh.web.bearer import forget_cookies, is_of_a_token
from hhh.web.forms import FORM, parse
from hhh.web.pages import is_page
from hhh.web.session import session_id
from hhh.web.state import settings

HEADER = "X-CSRF-Token"
FIELD = "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: Signing in takes JSON only, which no form of another site can send, and replaces whatever session there was.
EXEMPT_PATHS = frozenset({"/api/v1/auth/login"})
#: What browsers say of a form on a page of this very host, or of whoever repeats one by hand
#: (https://www.w3.org/TR/fetch-metadata/). Without a session the token alone is no proof: who may set cookies for a
#: neighbouring name could plant one that was handed out to them.
_OUR_PAGES = frozenset({"same-origin", "none"})
_NONCE_BYTES = 16


class CsrfTokens:
    """Makes and checks tokens ``<nonce>.<code>``, bound to a session or, before there is one, to none."""

    def __init__(self, secret: bytes) -> None:
        self._key = derive_key(secret, "csrf-tokens")

    def issue(self, session: str | None) -> str:
        """A token for that session, good as long as it lives."""
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        return f"{nonce}.{self._code(nonce, session)}"

    def is_of(self, session: str | None, token: str) -> bool:
        """Whether we made that token for that session."""
        nonce, _, code = token.partition(".")
        return same(code, self._code(nonce, session))

    def _code(self, nonce: str, session: str | None) -> str:
        return authentication_code(self._key, f"{nonce}.{session or ''}")


class CsrfProtection:
    """The ASGI layer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if is_of_a_token(HTTPConnection(scope)):
                forget_cookies(scope)
            request = Request(scope, receive)
            if needs_token(request):
                sent = request.headers.get(HEADER)
                if sent is None and request.headers.get("Content-Type", "").startswith(FORM):
                    try:
                        body = await request.body()
                    except ClientDisconnect:  # nobody is there to be answered
                        return
                    sent, receive = parse(body).get(FIELD), _again(body, receive)
                await run_in_threadpool(check, request, sent or "")
        await self._app(scope, receive, send)


def needs_token(request: Request) -> bool:
    """Whether the request would change something in the name of a session, or begin one from a page."""
    if request.method in SAFE_METHODS:
        return False
    # The path as the server got it: `request.url` is put together with the Host header, which is the client's word.
    path = request.scope["path"]
    return is_page(path) or (path not in EXEMPT_PATHS and cookies.has_session_cookie(request))


def check(request: Request, sent: str) -> None:
    """Checks the token that came with a request.

    Raises:
        CsrfInvalid: it is missing, differs from the cookie, or is not of this session; or a page's form is on a page
            of another site, as far as the browser tells.
        DatabaseUnavailable: which session it is, only the database could tell, and can't.
    """
    if is_page(request.scope["path"]) and request.headers.get("Sec-Fetch-Site", "same-origin") not in _OUR_PAGES:
        raise CsrfInvalid
    kept = request.cookies.get(cookies.CSRF, "")
    if not same(sent, kept) or not sent:
        raise CsrfInvalid
    if not CsrfTokens(settings(request).secret).is_of(session_id(request), sent):
        raise CsrfInvalid


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the application the body that was read here."""
    told = False

    async def replayed() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
