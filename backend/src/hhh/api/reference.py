"""`docs/api.md`: the description of the API as a page for people. `make reference` writes it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_OPENING = """\
# The HTTP API

Made by `make reference` from the description that the service gives at `/openapi.json`; changes made here are lost.

"""
_ANY_ERROR = """\
## Errors of every endpoint

Beside the errors that are listed, each endpoint may answer 500 `ERR_INTERNAL` and, unless it says otherwise, 503 \
`ERR_DATABASE_UNAVAILABLE` or `ERR_MIGRATIONS_PENDING` (the three endpoints of the runbook: 500, with the same codes).

```json
{error}
```
"""
_SERVER_ERRORS = 500
_WIDEST = 118


def page(description: Mapping[str, Any]) -> str:
    """The page.

    Args:
        description: `hhh.api.description.Description`.
    """
    return "".join(f"{line}\n" for line in _lines(description))


def _lines(description: Mapping[str, Any]) -> Iterator[str]:
    yield from (_OPENING + description["info"]["description"]).splitlines()
    groups: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = defaultdict(list)
    for path, methods in description["paths"].items():
        for method, described in methods.items():
            groups[described["tags"][0]].append((method.upper(), path, described))
    yield from ["", "| method | path | what it does |", "| --- | --- | --- |"]
    for group in sorted(groups):
        for method, path, described in groups[group]:
            yield f"| {method} | [`{path}`](#{described['operationId']}) | {described['summary']} |"
    example = description["components"]["examples"]["ERR_NOT_FOUND.what-is-named-is-not-there"]["value"]
    yield from ["", *_ANY_ERROR.format(error=_json(example)).splitlines()]
    for group in sorted(groups):
        yield from ["", f"## {group.capitalize()}"]
        for method, path, described in groups[group]:
            yield from _operation(method, path, described)


def _operation(method: str, path: str, described: Mapping[str, Any]) -> Iterator[str]:
    yield from ["", f'<a id="{described["operationId"]}"></a>', "", f"### {method} {path}", ""]
    yield from [*described.get("description", described["summary"]).splitlines(), ""]
    yield f"*Who:* {_who(described['security'])}"
    if rows := [_parameter(each) for each in described["parameters"] if "name" in each]:
        yield from ["", "| parameter | in | what it is |", "| --- | --- | --- |", *rows]
    if "requestBody" in described:
        needed = "" if described["requestBody"].get("required") else " (may be left out)"
        yield from ["", f"Body{needed}:", *_content(described["requestBody"])]
    for status, response in described["responses"].items():
        if int(status) < 400:  # noqa: PLR2004  errors begin there
            yield from ["", f"**{status}** {response['description']}{_headers(response)}", *_content(response)]
    if errors := [*_errors(described["responses"])]:
        yield from ["", "| error | code | when |", "| --- | --- | --- |", *errors]


def _who(security: Iterable[Mapping[str, Any]]) -> str:
    ways = []
    for each in security:
        if "session" in each:
            ways.append("who is signed in" + (", with the CSRF token" if "csrf" in each else ""))
        elif scopes := each["token"]:
            ways.append("a token with " + " or ".join(f"`{scope}`" for scope in scopes))
        else:
            ways.append("any token")
    return "; or ".join(ways) + "." if ways else "anybody."


def _parameter(described: Mapping[str, Any]) -> str:
    schema = described["schema"]
    about = described.get("description") or schema.get("description") or _kind(schema)
    default = f" Default: `{schema['default']}`." if schema.get("default") not in (None, "") else ""
    return f"| `{described['name']}` | {described['in']} | {_cell(about)}{default} |"


def _kind(schema: Mapping[str, Any]) -> str:
    every = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if values := [value for each in every for value in each.get("enum", ())]:
        return ", ".join(f"`{value}`" for value in values)
    return str(every[0].get("format") or every[0].get("type") or "")


def _content(holder: Mapping[str, Any]) -> Iterator[str]:
    for media_type, content in holder.get("content", {}).items():
        if media_type == "application/json":
            yield from ["", "```json", *_json(content["example"]).splitlines(), "```"]
        else:
            yield from ["", f"`{media_type}`"]


def _headers(response: Mapping[str, Any]) -> str:
    names = [f"`{name}`" for name in response.get("headers", {}) if name != "X-Request-ID"]
    return f" Headers: {', '.join(names)}." if names else ""


def _errors(responses: Mapping[str, Any]) -> Iterator[str]:
    for status, response in responses.items():
        for content in response.get("content", {}).values() if 400 <= int(status) < _SERVER_ERRORS else ():  # noqa: PLR2004
            for code in content["schema"]["properties"]["error"]["properties"]["code"]["enum"]:
                said = [
                    each for each in response["description"].rstrip(".").split("; ") if each.startswith(f"`{code}`")
                ]
                yield f"| {status} | `{code}` | {_cell('; '.join(each.partition(': ')[2] for each in said))} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _json(value: object) -> str:
    """In as few lines as can be read."""
    short = json.dumps(value, ensure_ascii=False)
    return short if len(short) <= _WIDEST else json.dumps(value, ensure_ascii=False, indent=2)
