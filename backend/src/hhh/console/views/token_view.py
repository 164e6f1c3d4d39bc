"""API tokens as pages show them, and what is wrong with what was typed of one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from hhh.console.links import link
from hhh.console.typed import Typed, WrongFieldsError, said_of
from hhh.core.clock import utcnow
from hhh.core.errors import InvalidInput
from hhh.models import Scope
from hhh.schemas.api_token import TokenRequest, TokenResource
from hhh.services import token_networks
from hhh.services.api_tokens import ApiTokens
from hhh.web.forms import Fields

#: Each with what it is good for.
SCOPES: Mapping[Scope, str] = {
    Scope.BACKUP_READ: "See backups, databases, stores, schedules, restores and drills; read the metrics",
    Scope.BACKUP_RUN: "Take backups, and cancel them",
    Scope.RESTORE_RUN: "Restore, undo restores, and download what is in backups",
    Scope.VERIFY_RUN: "Verify backups, and cancel that",
    Scope.ADMIN: "Everything else that its owner may do; but it makes no token, and changes no user",
}
_NEVER: Final = "never"
#: By the days that a token is good for.
LIFETIMES: Mapping[str, str] = {
    "7": "in a week",
    "30": "in 30 days",
    "90": "in 90 days",
    "365": "in a year",
    _NEVER: "never, until it is revoked",
}
#: The form before anything was typed.
NOTHING = Typed({"lifetime": ["90"]})
_PER_PAGE: Final = 50
_BETWEEN = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class ShownTokens:
    """One page of tokens."""

    tokens: Sequence[TokenResource]
    #: Where the page before it and the next one are; empty: there is none.
    before: str
    next: str


def listed(tokens: ApiTokens, number: int) -> ShownTokens:
    """A page of tokens, the newest first; the first page is 1."""
    found = tokens.page(limit=_PER_PAGE + 1, offset=(number - 1) * _PER_PAGE)
    return ShownTokens(
        found[:_PER_PAGE],
        before=_page(number - 1) if number > 1 else "",
        next=_page(number + 1) if len(found) > _PER_PAGE else "",
    )


def asked_of(fields: Fields) -> TokenRequest:
    """What was filled in.

    Raises:
        WrongFieldsError: it can't be used.
    """
    networks = [each for each in _BETWEEN.split(fields.text("networks")) if each]
    wrong = _wrong_networks(networks) | _wrong_choices(fields)
    try:
        if wrong:
            raise WrongFieldsError(wrong)
        days = fields.text("lifetime")
        return TokenRequest(
            name=fields.text("name"),
            scopes=[Scope(each) for each in fields.all("scopes")],
            expires_at=None if days == _NEVER else utcnow() + timedelta(days=int(days)),
            networks=networks,
        )
    except ValidationError as error:
        raise WrongFieldsError(said_of(error)) from None


def _wrong_networks(networks: Sequence[str]) -> dict[str, str]:
    try:
        token_networks.checked(networks)
    except InvalidInput as error:
        return {"networks": str(error)}
    return {}


def _wrong_choices(fields: Fields) -> dict[str, str]:
    ticked = fields.all("scopes")
    wrong = {} if fields.text("name") else {"name": "A token needs a name"}
    if not ticked or not set(ticked) <= set(SCOPES):
        wrong["scopes"] = "Tick what it may be used for"
    if fields.text("lifetime") not in LIFETIMES:
        wrong["lifetime"] = "Choose one of those in the list"
    return wrong


def _page(number: int) -> str:
    return link("/tokens", {"page": str(number) if number > 1 else ""})
