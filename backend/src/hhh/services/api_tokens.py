"""API tokens: made, shown once, looked up for each request, revoked."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from hhh.core.actor import ActorKind, actor
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NetworkNotAllowed, NotFound, TokenInvalid
from hhh.core.security import hash_token, new_token
from hhh.models import Action, ApiToken, Role, Scope, User
from hhh.models.audit import Detail
from hhh.repositories import api_tokens as rows
from hhh.repositories import users as user_rows
from hhh.schemas.api_token import LONGEST_NAME, MadeToken, State, TokenRequest, TokenResource
from hhh.services import audit, token_networks, users
from hhh.services.auth import Principal
from hhh.services.cursors import is_id

#: What every token begins with, so that scanners of secrets know one, and people what they have before them.
PREFIX = "hhh_"
#: So many of its characters are kept, by which its holder knows it; the others are more than enough.
_SHOWN = 12

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ApiTokens:
    """Makes, lists and revokes tokens, and knows them again.

    Args:
        database: the own one.
    """

    database: Database

    def create(self, owner: str, asked: TokenRequest) -> MadeToken:
        """Makes a token; only its hash is kept.

        Args:
            owner: the e-mail of whom it acts for.
            asked: what it is to be.

        Raises:
            InvalidInput: there is no such super admin, or what is asked for can't be.
        """
        now, secret = utcnow(), PREFIX + new_token()
        name, networks = _checked_name(asked.name), token_networks.checked(asked.networks)
        if asked.expires_at is not None and asked.expires_at <= now:
            raise InvalidInput("The token would have expired already", hint="expires_at is a moment to come")
        with self.database.transaction() as session:
            user = _super_admin(session, owner)
            if rows.live_by_name(session, name, now) is not None:
                raise InvalidInput(f"There is a token {name!r} already", hint="revoke it first, or take another name")
            row = ApiToken(
                id=str(uuid.uuid4()),
                user_id=user.id,
                name=name,
                token_hash=hash_token(secret),
                prefix=secret[:_SHOWN],
                scopes=",".join(scope for scope in Scope if scope in asked.scopes),
                networks=networks,
                created_at=now,
                expires_at=asked.expires_at,
            )
            rows.add(session, row)
            told = _resource(row, user, now)
            audit.record(session, Action.TOKEN_CREATE, name, detail=_detail(told))
        return MadeToken(**dict(told), token=secret)

    def only_super_admin(self) -> str:
        """The e-mail of whom a token is for where nobody is named.

        Raises:
            InvalidInput: there are several super admins, or none.
        """
        with self.database.snapshot() as session:
            found = [user.email for user in user_rows.all_by_email(session) if user.role == Role.SUPER_ADMIN]
        if len(found) != 1:
            raise InvalidInput(
                f"There are {len(found)} super admins", hint="name the one whose token it is to be with --user"
            )
        return found[0]

    def page(self, *, limit: int, offset: int = 0) -> Sequence[TokenResource]:
        """Everybody's tokens, the newest first, those that are no longer good included."""
        now = utcnow()
        with self.database.snapshot() as session:
            return [_resource(*found, now) for found in rows.newest_first(session, limit=limit, offset=offset)]

    def get(self, token_id: str) -> TokenResource:
        """One token.

        Raises:
            NotFound: none has that id.
        """
        with self.database.snapshot() as session:
            return _resource(*_existing(session, token_id), utcnow())

    def named(self, name: str) -> TokenResource:
        """The token of that name that is neither revoked nor expired.

        Raises:
            NotFound: there is none.
        """
        now = utcnow()
        with self.database.snapshot() as session:
            found = rows.live_by_name(session, name, now) if name.isprintable() else None
            if found is None:
                raise NotFound("No token that is good has that name", hint="see `hhh tokens list`")
            return _resource(*found, now)

    def revoke(self, token_id: str) -> TokenResource:
        """Makes a token good for nothing, from the next request on; a no-op if it was revoked before.

        Raises:
            NotFound: none has that id.
        """
        now = utcnow()
        with self.database.transaction() as session:
            row, owner = _existing(session, token_id)
            if rows.revoke(session, row.id, now):
                row.revoked_at = now
                audit.record(session, Action.TOKEN_REVOKE, row.name, detail={"id": row.id, "owner": owner.email})
            return _resource(row, owner, now)

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
            # Who guesses must not fill the audit log; a token that is known is named.
            log.warning("api_token_refused", address=address, name=found[0].name if found else None)
            raise TokenInvalid("The token is not good", hint="it is unknown, has expired, or was revoked")
        row, owner = found
        actor().identify(ActorKind.TOKEN, owner.email, token=row.name)
        if not token_networks.is_within(address, row.networks):
            log.warning("api_token_refused_from_there", address=address, name=row.name)
            raise NetworkNotAllowed(f"The token is not for use from {address}")
        return _principal(row, owner)


def _resource(token: ApiToken, owner: User, now: datetime) -> TokenResource:
    return TokenResource(
        id=token.id,
        name=token.name,
        owner=owner.email,
        state=_state(token, owner, now),
        scopes=[scope for scope in Scope if scope in scopes_of(token)],
        networks=token.networks.split(",") if token.networks else [],
        prefix=token.prefix,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        last_used_address=token.last_used_address,
        revoked_at=token.revoked_at,
    )


def _state(token: ApiToken, owner: User, now: datetime) -> State:
    if token.revoked_at is not None:
        return "revoked"
    if not is_live(token, now):
        return "expired"
    return "active" if owner.role == Role.SUPER_ADMIN else "suspended"


def _detail(told: TokenResource) -> Detail:
    return told.model_dump(mode="json", include={"id", "owner", "scopes", "networks", "expires_at"})


def _super_admin(session: Session, email: str) -> User:
    # Locked, all of them: who is made something else meanwhile has no token made as what they were, and two who make
    # one of the same name at once come one after the other.
    super_admins = {user.email: user for user in user_rows.lock_super_admins(session)}
    user = super_admins.get(users.normalise_email(email))
    if user is None:
        raise InvalidInput(
            f"There is no super admin {email}", hint="no token does more than its owner may; see `hhh users list`"
        )
    return user


def _existing(session: Session, token_id: str) -> rows.Owned:
    found = rows.get(session, token_id) if is_id(token_id) else None
    if found is None:
        raise NotFound("No token has that id", hint="see `hhh tokens list`")
    return found


def _checked_name(name: str) -> str:
    stripped = name.strip()
    if not stripped or not stripped.isprintable() or len(stripped) > LONGEST_NAME:
        raise InvalidInput("That is no name for a token", hint=f"1 to {LONGEST_NAME} characters that can be printed")
    return stripped


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
        credential_id=token.id,
        scopes=scopes_of(token),
        second_factor=owner.totp_since is not None,
        seen_at=token.last_used_at,
    )
