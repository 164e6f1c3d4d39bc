"""An example of every body, put together from the examples of its fields.

What a field says itself (``examples=[…]``) comes first, then `SAMPLES`, then what its schema allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hhh.api.description.samples import BODIES, SAMPLES, TEXTS

#: A schema may hold itself.
_DEEPEST = 12
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def add(description: dict[str, Any]) -> None:
    """Puts an example beside each schema of a body, and into each parameter, that has none."""
    schemas = description["components"]["schemas"]
    for methods in description["paths"].values():
        for described in methods.values():
            for content in _contents(described):
                if not {"example", "examples"} & content.keys():
                    content["example"] = _example(content, schemas)
            for parameter in described["parameters"]:
                if parameter.get("in") == "path":
                    parameter["example"] = _of(parameter["schema"], schemas, parameter["name"])


def _contents(described: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for holder in (described.get("requestBody", {}), *described["responses"].values()):
        for media_type, content in holder.get("content", {}).items():
            content.setdefault("schema", {})
            if media_type in TEXTS:
                content["example"] = TEXTS[media_type]
            yield content


def _example(content: Mapping[str, Any], schemas: Mapping[str, Any]) -> object:
    return _of(content["schema"], schemas, "")


def _of(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str, depth: int = 0) -> Any:
    """An example of a schema.

    Args:
        schema: what it is to fit.
        schemas: those that have names.
        name: of the field that it is for; `Model.field` in `SAMPLES` comes before `field`.
        depth: how deep it is in others.
    """
    if "examples" in schema:
        return schema["examples"][0]
    field = name.rpartition(".")[2]
    for each in (name, field):
        if each in SAMPLES and _may_be(schema, SAMPLES[each]):
            return SAMPLES[each]
    if "$ref" in schema:
        named = schema["$ref"].rpartition("/")[2]
        return BODIES[named] if named in BODIES else _of(schemas[named], schemas, f"{named}.{field}", depth + 1)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if every := schema.get("anyOf"):
        filled = next((each for each in every if each.get("type") != "null"), every[0])
        return None if depth > _DEEPEST else _of(filled, schemas, name, depth + 1)
    return _of_type(schema, schemas, name, depth)


def _of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        model = schema.get("title") or name
        fields = schema.get("properties", {})
        return {each: _of(fields[each], schemas, f"{model}.{each}", depth + 1) for each in fields}
    if kind == "array":
        if "prefixItems" in schema:
            return [_of(each, schemas, name, depth + 1) for each in schema["prefixItems"]]
        return [_of(schema["items"], schemas, name, depth + 1)] if depth <= _DEEPEST else []
    if kind == "boolean":
        return schema.get("default", False)
    return None if kind == "null" else _plain(schema, name)


def _plain(schema: Mapping[str, Any], name: str) -> object:
    if schema.get("type") in {"integer", "number"}:
        return max(schema.get("minimum", 3), min(3, schema.get("maximum", 3)))
    return _text(schema, name)


def _text(schema: Mapping[str, Any], name: str) -> str:
    if schema.get("format") == "date-time":
        return str(SAMPLES["created_at"])
    return name.rpartition(".")[2].replace("_", " ") or "text"


def _may_be(schema: Mapping[str, Any], sample: object) -> bool:
    """Whether a sample is of the type that the schema asks for; fields of one name may be of several."""
    if {"$ref", "enum", "const"} & schema.keys():
        return "enum" in schema and sample in schema["enum"]
    if every := schema.get("anyOf"):
        return any(_may_be(each, sample) for each in every)
    kind = _TYPES.get(type(sample), "null")
    if isinstance(sample, list):
        return schema.get("type") == kind and all(_may_be(schema["items"], each) for each in sample)
    return schema.get("type") == kind or (kind == "integer" and schema.get("type") == "number")
