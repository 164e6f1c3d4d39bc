"""The errors that an operation may answer with, by rule, each with an example.

What is the matter of one endpoint alone stands in `OWN`. A test fails for an answer whose code is not described.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from hhh.api.description import access
from hhh.api.description.operation import Operation
from hhh.api.description.possible_errors import (
    ALREADY_ENDED,
    BACKUP_FAILED,
    BUSY,
    CSRF,
    DATABASE_GONE,
    EXPIRED,
    IN_USE,
    INTERNAL,
    INVALID,
    MIGRATIONS,
    NOT_FOUND,
    NOT_SIGNED_IN,
    PASSWORD_NEEDED,
    PROTECTED,
    RANGE,
    SCOPE,
    SECOND_FACTOR,
    SECOND_FACTOR_MISSING,
    SESSION_NEEDED,
    STOPPING,
    SUPER_ADMIN,
    TOKEN,
    TOO_LARGE,
    TOO_MANY,
    TOO_SLOW,
    UNREADABLE,
    UNSAFE,
    WRONG_CODE,
    WRONG_NETWORK,
    WRONG_PASSWORD,
    Possible,
)
from hhh.web.errors import LEGACY_PATHS
from hhh.web.session import Allowed, current_caller

_V1 = "/api/v1"
#: What no rule tells of.
OWN: Mapping[tuple[str, str], tuple[Possible, ...]] = {
    ("POST", f"{_V1}/auth/login"): (WRONG_PASSWORD, SECOND_FACTOR),
    ("POST", f"{_V1}/auth/refresh"): (EXPIRED,),
    ("POST", f"{_V1}/auth/second-factor"): (IN_USE,),
    ("POST", f"{_V1}/auth/second-factor/confirm"): (IN_USE, NOT_FOUND),
    ("POST", f"{_V1}/auth/second-factor/recovery-codes"): (NOT_FOUND,),
    ("DELETE", f"{_V1}/auth/second-factor"): (NOT_FOUND,),
    ("POST", f"{_V1}/backups/trigger"): (NOT_FOUND, BUSY, BACKUP_FAILED),
    ("POST", f"{_V1}/backups/{{backup_id}}/cancel"): (ALREADY_ENDED,),
    ("GET", f"{_V1}/backups/{{backup_id}}/contents"): (UNREADABLE,),
    ("GET", f"{_V1}/backups/{{backup_id}}/download"): (UNREADABLE,),
    ("POST", f"{_V1}/backups/{{backup_id}}/verify"): (BUSY, IN_USE),
    ("DELETE", f"{_V1}/backups/{{backup_id}}"): (BUSY, IN_USE, PROTECTED),
    ("POST", f"{_V1}/restores"): (NOT_FOUND, BUSY, UNSAFE),
    ("POST", f"{_V1}/restores/{{restore_id}}/undo"): (BUSY, IN_USE, UNSAFE),
    ("POST", f"{_V1}/restores/{{restore_id}}/cancel"): (ALREADY_ENDED,),
    ("POST", f"{_V1}/verifications/{{verification_id}}/cancel"): (ALREADY_ENDED,),
    ("POST", f"{_V1}/schedules"): (NOT_FOUND,),
    ("POST", f"{_V1}/schedules/{{schedule_id}}/run"): (BUSY,),
    ("POST", f"{_V1}/storages"): (IN_USE,),
    ("PATCH", f"{_V1}/storages/{{name}}"): (IN_USE,),
    ("PUT", f"{_V1}/storages/{{name}}"): (IN_USE,),
    ("DELETE", f"{_V1}/storages/{{name}}"): (IN_USE,),
    ("POST", f"{_V1}/targets"): (NOT_FOUND,),
    ("POST", f"{_V1}/tokens"): (PASSWORD_NEEDED,),
    ("PATCH", f"{_V1}/targets/{{name}}"): (IN_USE, BUSY),
    ("PUT", f"{_V1}/targets/{{name}}"): (IN_USE, BUSY),
    ("DELETE", f"{_V1}/targets/{{name}}"): (IN_USE, BUSY),
    ("POST", f"{_V1}/targets/{{name}}/prune"): (BUSY,),
    ("POST", f"{_V1}/targets/{{name}}/repair"): (BUSY,),
}
#: They answer without the own database.
_ANSWER_ALWAYS = frozenset({"/healthz", "/readyz", f"{_V1}/auth/health"})
#: Fields of bodies that are compared with what is kept.
_SECRETS = frozenset({"current_password", "code"})

_ERROR = {"$ref": "#/components/schemas/Error"}
_TEXT = {"type": "string"}
SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "description": "Every error of the API.",
        "required": ["detail", "error"],
        "additionalProperties": False,
        "properties": {
            "detail": {**_TEXT, "description": "The same sentence as `error.message`."},
            "error": {"$ref": "#/components/schemas/ErrorDetail"},
        },
    },
    "ErrorDetail": {
        "type": "object",
        "required": ["code", "message", "request_id"],
        "additionalProperties": False,
        "properties": {
            "code": {**_TEXT, "pattern": "^ERR_[A-Z0-9_]+$", "description": "What programs go by."},
            "message": {**_TEXT, "description": "What went wrong; without secrets, and without what was sent."},
            "request_id": {**_TEXT, "description": "As in `X-Request-ID`."},
            "hint": {**_TEXT, "description": "What to do about it."},
            "fields": {
                "type": "array",
                "description": "With `ERR_VALIDATION`: what does not fit, and why.",
                "items": {
                    "type": "object",
                    "required": ["loc", "message"],
                    "additionalProperties": False,
                    "properties": {"loc": {"type": "array", "items": _TEXT}, "message": _TEXT},
                },
            },
            "scope": {**_TEXT, "description": "With `ERR_SCOPE_MISSING`: the one that is needed."},
            "reasons": {
                "type": "array",
                "description": "With `ERR_BACKUP_PROTECTED` the rules that keep it; with `ERR_RESTORE_UNSAFE` checks.",
                "items": {"anyOf": [_TEXT, {"$ref": "#/components/schemas/Check"}]},
            },
        },
    },
}


def add(operation: Operation) -> None:
    """Adds its errors to its answers; what the route describes itself stays as it is."""
    responses, examples = operation.responses, operation.description["components"].setdefault("examples", {})
    responses.pop("422", None)
    found: dict[int, list[Possible]] = defaultdict(list)
    for each in _possible(operation):
        if each not in found[each.status]:
            found[each.status].append(each)
    for status in sorted(found):
        known = responses.get(str(status), {})
        if "content" not in known:
            responses[str(status)] = {**_response(found[status]), **known}
            examples.update({each.name: each.example() for each in found[status]})


def _possible(operation: Operation) -> Iterator[Possible]:
    yield from _of_who_asks(operation)
    yield from OWN.get(operation.key, ())
    if operation.names_something:
        yield NOT_FOUND
    if operation.takes_input:
        yield INVALID
    if "requestBody" in operation.described:
        yield from (TOO_SLOW, TOO_LARGE)
    if "416" in operation.responses:
        yield RANGE
    yield INTERNAL
    if operation.path not in _ANSWER_ALWAYS:
        for each in (DATABASE_GONE, MIGRATIONS):
            yield each.at(INTERNAL.status) if operation.path in LEGACY_PATHS else each
        if operation.is_mutating:
            yield STOPPING


def _of_who_asks(operation: Operation) -> Iterator[Possible]:
    if access.knows_who_asks(operation):
        if current_caller in operation.calls:
            yield NOT_SIGNED_IN
        yield from (TOKEN, EXPIRED, WRONG_NETWORK)
    if _SECRETS & _fields(operation):
        yield from (WRONG_PASSWORD, WRONG_CODE, TOO_MANY)
    if any(isinstance(call, Allowed) for call in operation.calls):
        yield from (SUPER_ADMIN, SECOND_FACTOR_MISSING, SCOPE)
    if access.refuses_tokens(operation):
        yield SESSION_NEEDED
    if access.needs_csrf(operation):
        yield CSRF


def _fields(operation: Operation) -> set[str]:
    content = operation.described.get("requestBody", {}).get("content", {})
    named = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    found: set[str] = set(operation.description["components"]["schemas"].get(named, {}).get("properties", ()))
    return found


def _response(possible: list[Possible]) -> dict[str, Any]:
    codes = sorted({each.code for each in possible})
    schema = {
        "allOf": [_ERROR],
        "properties": {"error": {"type": "object", "properties": {"code": {"enum": codes}}}},
    }
    examples = {each.name: {"$ref": f"#/components/examples/{each.name}"} for each in possible}
    said = "; ".join(f"`{each.code}`: {each.when}" for each in possible)
    answer: dict[str, Any] = {
        "description": f"{said}.",
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }
    if names := sorted({name for each in possible for name in each.headers}):
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return answer
