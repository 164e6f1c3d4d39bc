"""Whether the API answers as its description says: looked at whenever a test asks the real application for something.

`conftest.py` has every `TestClient` of it checked, and `support.service` the clients of a service's process.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
import jsonschema_rs

from hhh.main import describe

_PLACES = re.compile(r"\\\{[^}]*\\\}")


@functools.cache
def description() -> dict[str, Any]:
    """That of every application of this release."""
    return describe()


def check(answer: httpx.Response) -> None:
    """AssertionError for an answer of the API that its description does not tell of; anything else is left alone."""
    described = operation(answer.request.method, answer.request.url.path)
    if described is None:
        return
    template, method = described
    if answer.headers.get("Content-Type") == "application/json":
        answer.read()
    wrong = problems(method, template, answer)
    assert not wrong, f"{method.upper()} {template} answered {answer.status_code}: {wrong}"


def operation(method: str, path: str) -> tuple[str, str] | None:
    """The described path and method that answer to a path; None: nothing of the API does."""
    for pattern, template in _patterns():
        if pattern.fullmatch(path):
            return (template, method.lower()) if method.lower() in description()["paths"][template] else None
    return None


def problems(method: str, template: str, answer: httpx.Response) -> list[str]:
    """What an answer has that its description has not, or the other way round."""
    response = description()["paths"][template][method]["responses"].get(str(answer.status_code))
    if response is None:
        return [f"the status is not described: {answer.text[:300] if answer.is_error else ''}"]
    missing = [name for name in _required(response) if name not in answer.headers]
    wrong = [f"no header {name}" for name in missing]
    content, media_type = response.get("content", {}), answer.headers.get("Content-Type", "").partition(";")[0]
    if not content:
        return [*wrong, *(["no body is described"] if answer.read() else [])]
    if media_type not in content:
        return [*wrong, f"the content type {media_type!r} is not among {[*content]}"]
    if media_type == "application/json":
        found = _validator(method, template, answer.status_code).iter_errors(json.loads(answer.content))
        wrong += [f"{'.'.join(map(str, error.instance_path))}: {error.message}"[:500] for error in found]
    return wrong


def with_definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of the description that can be used by itself."""
    return {**_rewritten(schema), "$defs": _definitions()}


@functools.cache
def _definitions() -> Any:
    return _rewritten(description()["components"]["schemas"])


def _rewritten(schema: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(schema).replace("#/components/schemas/", "#/$defs/"))


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """The fewest places first: `/schedules/preview` is no schedule."""
    paths = sorted(description()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(_PLACES.sub("[^/]+", re.escape(path))), path) for path in paths]


@functools.cache
def _validator(method: str, template: str, status: int) -> jsonschema_rs.Draft202012Validator:
    response = description()["paths"][template][method]["responses"][str(status)]
    return jsonschema_rs.Draft202012Validator(with_definitions(response["content"]["application/json"]["schema"]))


def _required(response: Mapping[str, Any]) -> list[str]:
    known = description()["components"]["headers"]
    return [name for name in response.get("headers", {}) if known[name].get("required")]
