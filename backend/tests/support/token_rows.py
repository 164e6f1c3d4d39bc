"""Rows of API tokens, as if they had been made."""

import uuid
from datetime import timedelta

from sqlalchemy import select

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.security import hash_token, new_token
from hhh.models import ApiToken, Scope, User
from hhh.services.api_tokens import PREFIX
from support.sign_in import EMAIL


def a_token(database: Database, *scopes: Scope, lives: timedelta = timedelta(days=1), of: str = EMAIL) -> str:
    """A token of a user who is there; one that lives for less than no time has expired."""
    token, now = PREFIX + new_token(), utcnow()
    with database.transaction() as session:
        owner = session.scalars(select(User).where(User.email == of)).one()
        row = ApiToken(id=str(uuid.uuid4()), user_id=owner.id, name="monitor", token_hash=hash_token(token))
        row.prefix, row.scopes, row.networks = token[:8], ",".join(scopes), ""
        row.created_at, row.expires_at = now, now + lives
        session.add(row)
    return token
