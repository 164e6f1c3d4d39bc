"""API tokens as the services know them, on both databases."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NetworkNotAllowed, NotFound, TokenInvalid
from hhh.models import ApiToken, AuditEvent, Role, Scope
from hhh.repositories import api_tokens as rows
from hhh.schemas.api_token import MadeToken, TokenRequest
from hhh.services import users
from hhh.services.api_tokens import ApiTokens
from support.sign_in import EMAIL, make_user

HERE = "192.0.2.7"


def made(tokens: ApiTokens, name: str = "ci", *, owner: str = EMAIL, networks: Sequence[str] = ()) -> MadeToken:
    """A token that may read and verify."""
    scopes = [Scope.VERIFY_RUN, Scope.BACKUP_READ, Scope.VERIFY_RUN]
    return tokens.create(owner, TokenRequest(name=name, scopes=scopes, networks=networks))


def refused(tokens: ApiTokens, token: str) -> str:
    """What is said of a token that is good for nothing."""
    with pytest.raises(TokenInvalid) as error:
        tokens.principal(token, address=HERE)
    return str(error.value)


def test_a_token_stands_for_its_owner_until_it_is_revoked(own_database: Database) -> None:
    owner, tokens = make_user(own_database), ApiTokens(own_database)

    token = made(tokens, networks=["192.0.2.0/24"])

    found = tokens.principal(token.token, address=HERE)
    assert (found.id, found.email, found.role, found.credential_id) == (owner.id, EMAIL, Role.SUPER_ADMIN, token.id)
    assert found.scopes == frozenset({Scope.BACKUP_READ, Scope.VERIFY_RUN})
    with pytest.raises(NetworkNotAllowed):
        tokens.principal(token.token, address="198.51.100.1")
    assert tokens.page(limit=10) == [tokens.get(token.id)]
    assert tokens.get(token.id).scopes == [Scope.BACKUP_READ, Scope.VERIFY_RUN]

    with own_database.transaction() as session:
        make_it_due = utcnow() - timedelta(minutes=5)
        rows.see(session, token.id, utcnow(), make_it_due, HERE)
        rows.see(session, token.id, utcnow(), make_it_due, "198.51.100.1")
        assert rows.live_among(session, {token.id, "another"}, Role.SUPER_ADMIN, utcnow()) == {token.id}
    assert tokens.get(token.id).last_used_address == HERE

    assert tokens.revoke(tokens.named("ci").id).state == "revoked"
    assert tokens.revoke(token.id).revoked_at == tokens.get(token.id).revoked_at
    assert refused(tokens, token.token) == refused(tokens, f"hhh_{'x' * 43}") == refused(tokens, "é\ud800\0")
    with own_database.snapshot() as session:
        assert rows.live_among(session, {token.id}, Role.SUPER_ADMIN, utcnow()) == set()
        events = [(each.action, each.subject) for each in session.scalars(select(AuditEvent).order_by(AuditEvent.seq))]
    assert events[-2:] == [("token.create", "ci"), ("token.revoke", "ci")]


def test_of_two_people_who_make_a_token_of_one_name_at_once_one_does(own_database: Database) -> None:
    both = [make_user(own_database, email=email).email for email in ("ann@example.com", "zoe@example.com")]
    tokens, both_are_there = ApiTokens(own_database), threading.Barrier(2)

    def make(owner: str) -> bool:
        both_are_there.wait()
        try:
            made(tokens, owner=owner)
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(make, both)) == [False, True]


def test_the_token_itself_is_kept_nowhere(sqlite_database: Database) -> None:
    make_user(sqlite_database)

    token = made(ApiTokens(sqlite_database)).token

    assert sqlite_database.file is not None
    written = b"".join(
        file.read_bytes() for file in sqlite_database.file.parent.glob(f"{sqlite_database.file.name}*") if file.exists()
    )
    assert token[:12].encode() in written
    assert token[12:].encode() not in written


def test_an_owner_counts_as_what_they_are_now(sqlite_database: Database) -> None:
    make_user(sqlite_database)
    make_user(sqlite_database, email="eve@example.com")
    tokens = ApiTokens(sqlite_database)
    token = made(tokens, owner=" Eve@Example.com")

    with sqlite_database.transaction() as session:
        users.set_role(session, email="eve@example.com", role=Role.MEMBER)
    assert tokens.principal(token.token, address=HERE).role == Role.MEMBER
    assert tokens.get(token.id).state == "suspended"

    with sqlite_database.transaction() as session:
        users.remove(session, email="eve@example.com")
    refused(tokens, token.token)
    with pytest.raises(NotFound):
        tokens.get(token.id)


def test_an_expired_token_is_refused_and_its_name_is_free_again(sqlite_database: Database) -> None:
    make_user(sqlite_database)
    tokens = ApiTokens(sqlite_database)
    token = made(tokens)
    with pytest.raises(InvalidInput, match="already"):
        made(tokens, " ci ")

    with sqlite_database.transaction() as session:
        row = session.get(ApiToken, token.id)
        assert row is not None
        row.expires_at = utcnow()

    refused(tokens, token.token)
    assert tokens.get(token.id).state == "expired"
    assert made(tokens).name == "ci"


@pytest.mark.parametrize(
    ("owner", "name", "hours", "said"),
    [
        ("member@example.com", "ci", 1, "no super admin"),
        ("nobody@example.com", "ci", 1, "no super admin"),
        ("a\0b", "ci", 1, "no super admin"),
        (EMAIL, " ", 1, "no name"),
        (EMAIL, "a\nb", 1, "no name"),
        (EMAIL, "a\u202eb", 1, "no name"),
        (EMAIL, "ci", 0, "expired"),
    ],
)
def test_a_token_that_would_be_good_for_nothing_is_not_made(
    sqlite_database: Database, owner: str, name: str, hours: int, said: str
) -> None:
    make_user(sqlite_database)
    make_user(sqlite_database, email="member@example.com", role=Role.MEMBER)
    tokens = ApiTokens(sqlite_database)
    until = utcnow() + timedelta(hours=hours)

    with pytest.raises(InvalidInput, match=said):
        tokens.create(owner, TokenRequest(name=name, scopes=[Scope.ADMIN], expires_at=until))

    assert tokens.page(limit=1) == []


def test_without_a_name_it_is_the_only_super_admins(sqlite_database: Database) -> None:
    tokens = ApiTokens(sqlite_database)
    with pytest.raises(InvalidInput, match="0 super admins"):
        tokens.only_super_admin()
    make_user(sqlite_database)
    make_user(sqlite_database, email="member@example.com", role=Role.MEMBER)
    assert tokens.only_super_admin() == EMAIL
    make_user(sqlite_database, email="second@example.com")
    with pytest.raises(InvalidInput, match="2 super admins"):
        tokens.only_super_admin()
