"""What was typed into a form that is drawn again, and what is wrong with it, field by field."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from hhh.core.errors import HHHError, InvalidInput
from hhh.web.forms import Fields

#: By the kind of Pydantic's error; anything else is told in Pydantic's own words.
_SAID: Mapping[str, str] = {
    "int_parsing": "This is not a whole number",
    "int_from_float": "This is not a whole number",
    "float_parsing": "This is not a number",
    "greater_than_equal": "It has to be at least {ge}",
    "less_than_equal": "It may be at most {le}",
    "greater_than": "It has to be more than {gt}",
    "literal_error": "Choose one of those in the list",
    "too_long": "There may be at most {max_length} of them",
    "string_too_long": "It may have at most {max_length} characters",
}
_FROM_CODE = "Value error, "


class WrongFieldsError(Exception):
    """What was typed can't be used; by the field's name, why."""

    status = InvalidInput.status
    headers: Mapping[str, str] = {}

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is told of a form that is drawn again."""

    #: By field.
    errors: Mapping[str, str]
    #: Of all of it.
    error: HHHError | None
    status: int


@dataclass(frozen=True, slots=True)
class Typed:
    """The fields of a form as they are drawn. No secret is among them."""

    values: Mapping[str, Sequence[str]]
    errors: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """What stands in a field."""
        return next(iter(self.values.get(name, ())), "")

    def has(self, name: str, value: str) -> bool:
        """Whether a box of that value is ticked."""
        return value in self.values.get(name, ())

    def wrong(self, name: str) -> str:
        """What is wrong with a field; empty if nothing is."""
        return self.errors.get(name, "")


def typed_again(fields: Fields, *, secrets: Collection[str], errors: Mapping[str, str]) -> Typed:
    """A form as it was sent, without its secrets."""
    return Typed({name: fields.all(name) for name in fields if name not in secrets}, errors)


def refusal(error: WrongFieldsError | HHHError | None) -> Refusal:
    """Why a form is drawn again; what the service is to blame for is raised instead.

    Args:
        error: None where it was only tried, and the page tells how that went.
    """
    if error is None:
        return Refusal({}, None, InvalidInput.status)
    if isinstance(error, WrongFieldsError):
        return Refusal(error.errors, None, InvalidInput.status)
    if error.is_own_trouble:
        raise error
    return Refusal({}, error, error.status)


def said_of(error: ValidationError) -> dict[str, str]:
    """By the name of a field: what a schema says against it."""
    found: dict[str, str] = {}
    for each in error.errors():
        words = _SAID.get(each["type"])
        said = words.format(**each.get("ctx", {})) if words else each["msg"].removeprefix(_FROM_CODE)
        found.setdefault(str(each["loc"][0]) if each["loc"] else "", said)
    return found
