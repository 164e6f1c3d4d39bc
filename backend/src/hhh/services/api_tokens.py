"""API tokens: made, shown once, looked up for each request, revoked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import structlog

from hhh.core.actor import ActorKind, actor
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import NetworkNotAllowed, TokenInvalid
from hhh.core.security import hash_token
from hhh.models import ApiToken, Role, Scope, User
from hhh.repositories import api_tokens as rows
from hhh.services.auth import Principal
from hhh.services.token_networks import is_within
from hhh.services.token_uses import TokenUses

#: What every token begins with, so that scanners of secrets know one, and people what they have before them.
PREFIX = "hhh_"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ApiTokens:
    """Makes, lists and revokes tokens, and knows them again."""

    database: Database
    uses: TokenUses = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uses", TokenUses(self.database))

    def principal(self, token: str, *, address: str) -> Principal:
        """Who a token stands for, as the database has them now: its owner, with no more than its scopes.

        Raises:
            TokenInvalid: nobody's; or it has expired or was revoked.
            NetworkNotAllowed: it may not be used from that address.
        """
        now = utcnow()
        with self.database.snapshot() as session:
            found = rows.by_hash(session, hash_token(token)) if token.startswith(PREFIX) else None
        if found is None or not is_live(found[0], now):
            # Who guesses must not fill the audit log; a token that is known is named, by what its holder sees of it.
            log.warning("token refused", address=address, token=found[0].name if found else None)
            raise TokenInvalid("The token is not good", hint="it is unknown, has expired, or was revoked")
        row, owner = found
        actor().identify(ActorKind.TOKEN, owner.email, token=row.name)
        if not is_within(address, row.networks):
            log.warning("token refused from there", address=address, token=row.name)
            raise NetworkNotAllowed(f"The token is not for use from {address}")
        self.uses.note(row, address=address, now=now)
        return _principal(row, owner)


def is_live(token: ApiToken, now: datetime) -> bool:
    """Whether a token is neither revoked nor expired."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def scopes_of(token: ApiToken) -> frozenset[Scope]:
    """What a token may be used for."""
    return frozenset(Scope(each) for each in token.scopes.split(",") if each)


def _principal(token: ApiToken, owner: User) -> Principal:
    return Principal(
        id=owner.id,
        email=owner.email,
        role=Role(owner.role),
        session_id=token.id,
        scopes=scopes_of(token),
        second_factor=owner.totp_since is not None,
    )
