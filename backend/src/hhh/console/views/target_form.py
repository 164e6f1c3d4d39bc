"""The form of a target: where it is, and how it is backed up and proven."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hhh.artifacts.naming import valid_target_name
from hhh.console.typed import Typed, WrongFieldsError, said_of, typed_again
from hhh.console.views.target_address import BY_URL, SECRETS, fields_of, typed_url, without_password
from hhh.core.text import statements
from hhh.engines.base import EngineKind
from hhh.schemas.policy import PolicyFields
from hhh.services.policies import TargetPolicy, resolved
from hhh.services.targets import ListedTarget
from hhh.web.forms import Fields

#: The check that drills may go on in spite of.
SUPERUSER = "superuser_objects"
_MINUTE = 60
#: Of a time limit: 30 days.
_LONGEST_MINUTES = 43_200
#: By the name in the policy: the field of the form, where that is another.
_FIELDS: Mapping[str, str] = {"time_limit_seconds": "time_limit_minutes", "drill_acknowledge": "trusted"}
#: By the kind of connection: the field that says where it is.
_FIRST: Mapping[str, str] = {EngineKind.POSTGRESQL: "host", EngineKind.SQLITE: "path", BY_URL: "url"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form asks for."""

    name: str
    #: None: as it is.
    url: str | None
    policy: PolicyFields


def asked_of(fields: Fields, present: TargetPolicy) -> Asked:
    """What was typed.

    Args:
        fields: of the form.
        present: the policy that it was drawn with.

    Raises:
        WrongFieldsError: some of it can't be used.
        InvalidInput: it is no URL of a database.
    """
    wrong: dict[str, str] = {}
    policy = PolicyFields()
    try:
        policy = _policy(fields, present)
    except WrongFieldsError as error:
        wrong |= error.errors
    url: str | None = None
    try:
        url = typed_url(fields) if "engine" in fields else None
    except WrongFieldsError as error:
        wrong |= error.errors
    if wrong:
        raise WrongFieldsError(wrong)
    return Asked(fields.text("name"), url, policy)


def asked_of_new(fields: Fields) -> tuple[Asked, str]:
    """As `asked_of`, of a target that is to be registered; and its URL, which has to be there.

    Raises:
        WrongFieldsError, InvalidInput: as `asked_of`.
    """
    wrong: dict[str, str] = {}
    if not valid_target_name(fields.text("name")):
        wrong["name"] = "This can't be its name"
    try:
        asked = asked_of(fields, TargetPolicy())
    except WrongFieldsError as error:
        raise WrongFieldsError({**wrong, **error.errors}) from None
    if asked.url is None:
        wrong[_FIRST.get(fields.text("engine"), "engine")] = "This is needed"
    if wrong or asked.url is None:
        raise WrongFieldsError(wrong)
    return asked, asked.url


def new_form() -> Typed:
    """The form of a target that is to be registered."""
    return Typed({"engine": [EngineKind.POSTGRESQL], **_policy_fields(TargetPolicy())})


def form_of(target: ListedTarget, policy: TargetPolicy) -> Typed:
    """The form of a target that is to be another."""
    address = fields_of(target.url, target.engine)
    return Typed({**{name: [value] for name, value in address.items()}, **_policy_fields(policy)})


def form_again(fields: Fields, errors: Mapping[str, str]) -> Typed:
    """A form as it was sent; the URL of it without its password."""
    typed = typed_again(fields, secrets=SECRETS, errors=errors)
    return Typed({**typed.values, "url": [without_password(fields.text("url"))]}, errors)


def _policy(fields: Fields, present: TargetPolicy) -> PolicyFields:
    others = [name for name in present.proof.drill_acknowledge if name != SUPERUSER]
    given: dict[str, Any] = {
        "storages": fields.all("storages"),
        "minimum_copies": fields.text("minimum_copies") or None,
        "retries": fields.text("retries") or 0,
        "time_limit_seconds": _seconds(fields.text("time_limit_minutes")),
        "verify_after_backup": fields.text("verify_after_backup") or None,
        "fingerprint": fields.text("fingerprint") or "off",
        "assertions": statements(fields.get("assertions", "").replace("\r\n", "\n")),
        "drill_target": fields.text("drill_target") or None,
        "drill_acknowledge": [*others, SUPERUSER] if fields.text("trusted") else others,
        "proven_within_days": fields.text("proven_within_days") or None,
        "backed_up_within_hours": fields.text("backed_up_within_hours") or None,
    }
    wrong = {} if given["storages"] else {"storages": "Tick at least one store"}
    try:
        policy = PolicyFields.model_validate(given)
    except ValidationError as error:
        wrong |= {_FIELDS.get(name, name): said for name, said in said_of(error).items()}
        policy = PolicyFields()
    if wrong:
        raise WrongFieldsError(wrong)
    return policy


def _seconds(minutes: str) -> int | None:
    if not minutes:
        return None
    try:
        seconds = float(minutes.replace(",", ".")) * _MINUTE
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= _LONGEST_MINUTES * _MINUTE:
        raise WrongFieldsError({"time_limit_minutes": f"This is not a number of minutes up to {_LONGEST_MINUTES}"})
    return round(seconds)


def _policy_fields(policy: TargetPolicy) -> dict[str, Sequence[str]]:
    proof, limit = policy.proof, policy.time_limit_seconds
    shown = {
        "minimum_copies": policy.minimum_copies,
        "retries": policy.retries,
        "time_limit_minutes": str(round(limit / _MINUTE, 4)).removesuffix(".0") if limit is not None else None,
        "verify_after_backup": proof.verify_after_backup,
        "fingerprint": proof.fingerprint,
        "assertions": "\n".join(f"{each};" for each in proof.assertions),
        "drill_target": proof.drill_target,
        "trusted": "yes" if SUPERUSER in proof.drill_acknowledge else None,
        "proven_within_days": proof.proven_within_days,
        "backed_up_within_hours": proof.backed_up_within_hours,
    }
    texts = {name: [str(value)] if value is not None else [] for name, value in shown.items()}
    return {**texts, "storages": [*resolved(policy)]}
