"""The description of the API (OpenAPI 3.1), made by rule from the routes: a new endpoint gets all of it by itself.

FastAPI tells what routes take and answer. Added here: who may ask (`access`), with which errors an endpoint may answer
(`errors`), headers and where to follow what was accepted (`headers`), and an example of every body (`examples`).

`/openapi.json` is public: it tells what the documentation of this release tells, and nothing of an installation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from hhh.api.description import access, errors, examples, headers
from hhh.api.description.operation import Operation

_ABOUT = """\
Every answer has the header `X-Request-ID`, which stands in the log and the audit log as well. An error is
`{"detail": …, "error": {"code", "message", "request_id", "hint"?, "fields"?}}`; programs go by its `code`.

People sign in with `POST /api/v1/auth/login` and send the cookies that it sets; what changes something takes the
cookie `hhh_csrf` in the header `X-CSRF-Token` as well. Programs send `Authorization: Bearer TOKEN`, with a token of
`POST /api/v1/tokens`, and need no CSRF token.

Work that takes long is answered with 202 and the header `Location`; `GET …/events` follows it to its end.
"""
#: What FastAPI answers itself is answered in our shape (`hhh.web.errors`).
_NOT_OURS = ("HTTPValidationError", "ValidationError")


class Description:
    """Makes the description once, when it is asked for first.

    Args:
        app: with all its routes.
        routers: those that are described.
    """

    def __init__(self, app: FastAPI, routers: Sequence[APIRouter]) -> None:
        self._app = app
        self._routes = [each for router in routers for each in router.routes if isinstance(each, APIRoute)]
        self._made: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> dict[str, Any]:
        app = self._app
        made = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
        components = made["components"]
        components["schemas"] = {n: s for n, s in components["schemas"].items() if n not in _NOT_OURS}
        components["schemas"] |= errors.SCHEMAS
        components |= {"securitySchemes": access.SCHEMES, "headers": headers.HEADERS, "parameters": headers.PARAMETERS}
        every = [*operations(self._routes, made)]
        for operation in every:
            operation.described.update(operationId=operation.id, summary=operation.summary)
        for operation in every:
            access.add(operation)
            errors.add(operation)
            headers.add(operation)
        examples.add(made)
        return made


def operations(routes: Iterable[APIRoute], description: dict[str, Any]) -> Iterator[Operation]:
    """All operations, in the order of the routes."""
    for route in routes:
        for method in sorted(route.methods or ()):
            yield Operation(method, route, description["paths"][route.path_format][method.lower()], description)
