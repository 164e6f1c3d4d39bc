"""The form of a target's rules, which tries them, and the links that try good ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from hhh.console.links import link
from hhh.console.typed import Typed, WrongFieldsError, said_of
from hhh.schemas.policy import PolicyFields
from hhh.schemas.retention import Retention

#: The fields of the form: name, label.
COUNTS = (
    ("keep_last", "Newest"),
    ("hourly", "Hours"),
    ("daily", "Days"),
    ("weekly", "Weeks"),
    ("monthly", "Months"),
    ("yearly", "Years"),
)
UNITS: Mapping[str, int] = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
UNIT_CHOICES = [(unit, unit) for unit in UNITS]
#: Says that rules are tried, and not those of the target.
TRY = "try"
_SIZE, _UNIT = "maximum_size", "unit"
_FIELDS = (*(name for name, _ in COUNTS), "maximum_age_days", _SIZE, _UNIT, "minimum_kept")
#: Rules to begin with: what is wanted, and how it is said.
_STARTS: Sequence[tuple[str, Mapping[str, str]]] = (
    ("7 days, 4 weeks, 12 months", {"daily": "7", "weekly": "4", "monthly": "12"}),
    (
        "24 hours, 7 days, 5 weeks, 12 months, 3 years",
        {"hourly": "24", "daily": "7", "weekly": "5", "monthly": "12", "yearly": "3"},
    ),
    ("the newest 14", {"keep_last": "14"}),
    ("30 days of everything, never fewer than 5", {"maximum_age_days": "30", "minimum_kept": "5"}),
)
_DECIMAL = re.compile(r"\d{1,12}(?:[.,]\d{1,12})?", re.ASCII)


def form_of(rules: Retention | None) -> Typed:
    """The form of rules that are there; empty where everything is kept."""
    shown = (rules or Retention()).model_dump(exclude_none=True)
    total = shown.pop("maximum_total_bytes", None)
    values = {name: [_plain(value)] for name, value in shown.items()}
    unit = next((name for name in ("TB", "GB") if total is not None and total >= UNITS[name]), "MB" if total else "GB")
    size = {_SIZE: [_plain(Decimal(total) / UNITS[unit])]} if total is not None else {}
    return Typed({**values, **size, _UNIT: [unit]})


def form_again(fields: Mapping[str, str], errors: Mapping[str, str]) -> Typed:
    """A form as it was sent."""
    return Typed({name: [fields[name]] for name in _FIELDS if name in fields}, errors)


def rules_of(fields: Mapping[str, str]) -> Retention:
    """What was typed.

    Raises:
        WrongFieldsError: some of it can't be used.
    """
    typed = {name: fields.get(name, "").strip() for name in _FIELDS}
    given: dict[str, Any] = {name: value for name, value in typed.items() if value and name not in (_SIZE, _UNIT)}
    wrong: dict[str, str] = {}
    if typed[_SIZE]:
        try:
            given["maximum_total_bytes"] = _bytes(typed[_SIZE], typed[_UNIT])
        except WrongFieldsError as error:
            wrong |= error.errors
    if "maximum_age_days" in given:
        given["maximum_age_days"] = typed["maximum_age_days"].replace(",", ".")
    try:
        rules = Retention.model_validate(given)
    except ValidationError as error:
        raise WrongFieldsError({**said_of(error), **wrong}) from None
    if wrong:
        raise WrongFieldsError(wrong)
    return rules


def policy_of(rules: Retention) -> PolicyFields:
    """The rules as they are saved: none at all where everything is kept."""
    says_something = rules.model_dump(exclude_none=True, exclude={"minimum_kept"})
    return PolicyFields(retention=rules if says_something else None)


def sent_of(typed: Typed) -> Mapping[str, str]:
    """The fields of a form that says the same, without those that are empty."""
    return {name: typed.value(name) for name in _FIELDS if typed.value(name)}


def starts(path: str) -> Sequence[tuple[str, str]]:
    """Rules to begin with, and the links that try them."""
    return [(told, link(path, {TRY: "1", **rules})) for told, rules in _STARTS]


def _bytes(text: str, unit: str) -> int:
    if not _DECIMAL.fullmatch(text) or unit not in UNITS:
        raise WrongFieldsError({_SIZE: "This is not a size, such as 500 GB"})
    count = int(Decimal(text.replace(",", ".")) * UNITS[unit])
    if count < 1:
        raise WrongFieldsError({_SIZE: "It has to be more than 0"})
    return count


def _plain(value: Decimal | float) -> str:
    """Without an exponent, and without zeros at its end."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
