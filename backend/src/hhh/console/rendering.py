"""Draws pages: one environment for all templates, and what each of them may use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hhh.console import assets, told, words
from hhh.core.clock import utcnow
from hhh.core.errors import DatabaseUnavailable
from hhh.core.version import PRODUCT_VERSION
from hhh.models import Role
from hhh.web import cookies
from hhh.web.csrf import FIELD, CsrfTokens
from hhh.web.session import session_id
from hhh.web.state import settings

#: Nothing from elsewhere, nothing inline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_NOTHING: Mapping[str, object] = {}


def page(
    request: Request,
    template: str,
    context: Mapping[str, object] = _NOTHING,
    *,
    status: int = 200,
    has_ended: bool = False,
) -> Response:
    """Draws a page.

    Args:
        request: asks for it.
        template: its name without ``.html.j2``.
        context: what the template shows.
        status: of HTTP.
        has_ended: whether it is of a job that has; then nothing is told of its beginning.
    """
    drawn = (
        environment().get_template(f"{template}.html.j2").render({**_common(request, has_ended=has_ended), **context})
    )
    return HTMLResponse(drawn, status, {"Content-Security-Policy": POLICY})


@cache
def environment() -> Environment:
    """What templates are drawn with: escaping always, and no name that is not there."""
    made = Environment(
        loader=PackageLoader("hhh.console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= words.FILTERS
    made.globals |= {"asset": assets.link, "csrf_field": FIELD, "version": PRODUCT_VERSION}
    return made


def _common(request: Request, *, has_ended: bool) -> dict[str, object]:
    user = getattr(request.state, "principal", None)
    return {
        "user": user,
        "admin": user if user is not None and user.role == Role.SUPER_ADMIN else None,
        "csrf_token": csrf_token(request),
        "done": told.of(request.query_params.get("done", ""), has_ended=has_ended),
        "now": utcnow(),
        "path": request.scope["path"],
    }


def csrf_token(request: Request) -> str:
    """The token for the forms of a page: the one that the browser has, if it is of this session; else another."""
    try:
        session, tokens = session_id(request), CsrfTokens(settings(request).secret)
    except DatabaseUnavailable:  # then no form of the page would do anything either
        return ""
    kept = request.cookies.get(cookies.CSRF, "")
    if kept and tokens.is_of(session, kept):
        return kept
    if getattr(request.state, "csrf_token", None) is None:
        request.state.csrf_token = tokens.issue(session)
    return str(request.state.csrf_token)
