"""Puts the layers around an application; main.py calls it once."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError
from hhh.web.body_limit import BodyLimit
from hhh.web.csrf import HEADER as CSRF_HEADER
from hhh.web.csrf import CsrfProtection
from hhh.web.errors import LastResort, add_error_handlers
from hhh.web.headers import REQUEST_ID, RequestContext
from hhh.web.http_metrics import CountRequests, HttpMetrics

_HEADERS_OF_CLIENTS = (
    "Authorization",
    "Content-Type",
    "Prefer",
    "Range",
    "If-Range",
    "If-None-Match",
    CSRF_HEADER,
    REQUEST_ID,
)


def install(app: FastAPI, settings: Settings) -> None:
    """Error handler, CSRF protection, a limit for bodies, CORS, security headers, request ids and trusted proxies.

    The server in front must leave proxies' headers alone (uvicorn: ``proxy_headers=False``), since by itself it
    believes whoever connects from the same machine.

    Raises:
        ConfigurationError: HHH_TRUSTED_PROXIES or HHH_CORS_ORIGINS hold something else than they should.
    """
    add_error_handlers(app)
    # Each goes around those before it.
    app.add_middleware(CsrfProtection)
    app.add_middleware(BodyLimit)
    app.add_middleware(LastResort)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[_checked_origin(origin) for origin in settings.cors_origins],
            allow_credentials=True,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=_HEADERS_OF_CLIENTS,
            expose_headers=["Location", "Retry-After", "ETag", "Content-Range", "Content-Disposition", REQUEST_ID],
        )
    app.state.http_metrics = HttpMetrics()
    app.add_middleware(CountRequests, metrics=app.state.http_metrics)
    app.add_middleware(RequestContext, https_only=settings.cookies_are_secure)
    if settings.trusted_proxies:
        app.add_middleware(
            ProxyHeadersMiddleware, trusted_hosts=[_checked_proxy(proxy) for proxy in settings.trusted_proxies]
        )


def _checked_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if parts.scheme not in {"http", "https"} or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
        raise ConfigurationError(
            f"HHH_CORS_ORIGINS holds {origin!r}, which is no origin", hint="e.g. https://console.example.com"
        )
    return origin


def _checked_proxy(proxy: str) -> str:
    try:
        ipaddress.ip_network(proxy)
    except ValueError:
        raise ConfigurationError(
            f"HHH_TRUSTED_PROXIES holds {proxy!r}, which is no address or network", hint="e.g. 127.0.0.1,10.0.0.0/8"
        ) from None
    return proxy
