"""Headers of requests and answers, and where what was accepted is followed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hhh.api.description.operation import Operation
from hhh.web.headers import REQUEST_ID

_TEXT = {"type": "string"}
_ETAG = '"9f86d081884c7d65"'


def _header(description: str, example: object, schema: dict[str, Any] = _TEXT) -> dict[str, Any]:
    return {"description": description, "schema": schema, "example": example}


HEADERS: dict[str, Any] = {
    REQUEST_ID: {
        **_header("The request's id: the client's own, where it sent one that can be used.", "deploy-4711"),
        "required": True,
    },
    "Location": {**_header("Where it is.", "/api/v1/backups/5f0c7f4e-0d1b-4c52-9d0e-2f6a3f0c9b11"), "required": True},
    "Preference-Applied": _header("With `Prefer: respond-async`.", "respond-async"),
    "Retry-After": {**_header("Seconds until another try is looked at.", 42, {"type": "integer"}), "required": True},
    "ETag": {
        **_header("Names these very bytes, for `If-None-Match` and `If-Range`.", _ETAG),
        "required": True,
    },
    "Accept-Ranges": {**_header("That ranges can be asked for.", "bytes"), "required": True},
    "Content-Range": {**_header("Which bytes these are, and of how many.", "bytes 0-1023/4096"), "required": True},
    "Content-Disposition": {**_header("The name of the file.", 'attachment; filename="shop.sql"'), "required": True},
}

PARAMETERS: dict[str, Any] = {
    name: {"name": name, "in": "header", "required": False, **_header(description, example)}
    for name, description, example in (
        (REQUEST_ID, "An id of yours for this request: up to 64 letters, digits, `.`, `_`, `-`.", "deploy-4711"),
        ("Range", "One range of bytes; several are answered with all.", "bytes=0-1023"),
        ("If-Range", "The `ETag` that the range is of; of another one, all is answered.", _ETAG),
        ("If-None-Match", "The `ETag` of what one has: 304, if that is all.", _ETAG),
    )
}

#: Where a route says nothing itself.
_FASTAPI_SAYS = "Successful Response"
_SAID = {"200": "It is so.", "201": "It was made.", "204": "Done; nothing more is to be said."}
_PARTIAL, _ACCEPTED, _CREATED = "206", "202", "201"
_RANGES = ("Range", "If-Range", "If-None-Match")
#: Of an accepted job, by the name of its id in the answer: how it is followed, and where it is in the end.
_FOLLOWED = {
    "backup_id": "/api/v1/backups/{backup_id}",
    "restore_id": "/api/v1/restores/{restore_id}",
    "verification_id": "/api/v1/verifications/{verification_id}",
}


def add(operation: Operation) -> None:
    """Adds headers to its answers and parameters, and links to what it accepted."""
    parameters = operation.described.setdefault("parameters", [])
    parameters += [_parameter(name) for name in (*(_RANGES if _PARTIAL in operation.responses else ()), REQUEST_ID)]
    for status, response in operation.responses.items():
        if response["description"] == _FASTAPI_SAYS:
            response["description"] = _SAID.get(status, "Done.")
        names = [REQUEST_ID, *_of_answer(operation, status)]
        known = response.get("headers", {})
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names} | known
    if _ACCEPTED in operation.responses:
        _tell_how_to_follow(operation, operation.responses[_ACCEPTED])


def _parameter(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def _of_answer(operation: Operation, status: str) -> list[str]:
    if status == _CREATED:
        return ["Location"] if _is_created_at_a_place(operation) else []
    if status == _ACCEPTED:
        has_place = operation.method != "DELETE"
        return [*(["Location"] if has_place else []), *(["Preference-Applied"] if _prefers(operation) else [])]
    if _PARTIAL in operation.responses:
        named = {"200": ["ETag", "Accept-Ranges", "Content-Disposition"], "304": ["ETag", "Accept-Ranges"]}
        return {**named, _PARTIAL: [*named["200"], "Content-Range"]}.get(status, [])
    return []


def _is_created_at_a_place(operation: Operation) -> bool:
    """Whether what was made can be asked for: where `GET` of something below that path is."""
    below = f"{operation.path}/{{"
    return any(path.startswith(below) for path in operation.description["paths"])


def _prefers(operation: Operation) -> bool:
    return any(each.get("name") == "prefer" for each in operation.described.get("parameters", ()))


def _tell_how_to_follow(operation: Operation, response: dict[str, Any]) -> None:
    if operation.method == "DELETE":
        done = "It is in no listing from now on; a job removes its objects, and tries again until they are gone"
    else:
        done = "It is done by a job; `Location` says where its outcome is told"
    followed = [*_followed(operation, response)]
    ways = [f"`GET {place}/events` follows it to its end, and `GET {place}` tells how it is" for _, place in followed]
    response["description"] = f"Accepted: not done yet. {'; '.join(ways) or done}."
    links = {
        f"{what}_{name.removesuffix('_id')}": {
            "operationId": operation.description["paths"][path]["get"]["operationId"],
            "parameters": {name: f"$response.body#/{name}"},
        }
        for name, place in followed
        for what, path in (("look", place), ("follow", f"{place}/events"))
    }
    if links:
        response["links"] = links


def _followed(operation: Operation, response: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """By which ids in the answer the job is followed, and where."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    schemas = operation.description["components"]["schemas"]
    fields = {field for each in _named(schema) for field in schemas[each].get("properties", ())}
    for name, place in _FOLLOWED.items():
        if name in fields and operation.method != "DELETE":
            yield name, place


def _named(schema: dict[str, Any]) -> list[str]:
    every = schema.get("anyOf", [schema])
    return [each["$ref"].rpartition("/")[2] for each in every if "$ref" in each]
