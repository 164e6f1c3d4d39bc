"""How often somebody may try a password, or a code: so many failures in a sliding window.

They are counted by account and by where they come from, so that nobody is locked out by what others do elsewhere: at a
place that is known to be the account's own (`hhh.services.known_places`) only its own failures count. All places that
are not known share a limit as well, so that guessing from many addresses is bounded.

What no longer counts is deleted, so that there are never more rows than a quarter of an hour of hashing makes.
"""

from __future__ import annotations

import ipaddress
import math
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import RateLimited
from hhh.core.security import authentication_code, derive_key
from hhh.models import LoginFailure
from hhh.repositories import login_failures as rows

#: Who holds one address of an IPv6 network holds them all.
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Source:
    """Where attempts come from."""

    #: An address, or what else is counted as one place.
    name: str
    #: Whether the account's owner has been there.
    is_known: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How many may fail in which time."""

    #: What is tried; keeps the counts apart.
    of: str
    window: timedelta
    #: Of one account from one place.
    per_source: int
    #: Of one account from all places together that are not known.
    per_account: int
    #: From one address that is not known, of whatever accounts; None: however many.
    per_address: int | None = None
    #: What is told of it, and what helps but waiting.
    message: str = "Too many failed sign-ins"
    otherwise: str = ""


PASSWORDS = Limits("login-failures", timedelta(minutes=15), per_source=10, per_account=20, per_address=50)
#: Codes of an app: there are but a million, three of which are right, and who tries them has the password already.
#: A wrong one counts as a failed sign-in as well, so that the first ten in a row cost a quarter of an hour.
CODES = Limits(
    "code-failures",
    timedelta(days=1),
    per_source=20,
    per_account=20,
    message="Too many wrong codes",
    otherwise="use a recovery code",
)


def count_attempt(
    database: Database, settings: Settings, *, email: str, source: Source, now: datetime, limits: Limits = PASSWORDS
) -> str:
    """Counts an attempt as failed before it is looked at; `login_failures.forget` takes it back.

    It is committed before the others are counted, so that however many try at once, no more than the limit get
    through, on any database and from any number of processes.

    Args:
        database: where to count; short transactions.
        settings: for the key under which e-mails are hashed.
        email: normalised; whether anybody has it makes no difference.
        source: where it comes from.
        now: when.
        limits: of passwords or of codes.

    Returns:
        The id of the counted attempt.

    Raises:
        RateLimited: too many have failed; this attempt is not counted, so that waiting always helps.
    """
    attempt = LoginFailure(
        id=str(uuid.uuid4()),
        account=authentication_code(derive_key(settings.secret, limits.of), email),
        address=source.name,
        created_at=now,
        expires_at=now + limits.window,
    )
    _refuse(database, attempt, source, limits)  # a flood is to cost no writes
    with database.transaction() as session:
        rows.prune(session, now)
        rows.add(session, attempt)
    try:
        _refuse(database, attempt, source, limits)
    except RateLimited:
        with database.transaction() as session:
            rows.forget(session, attempt.id)
        raise
    return attempt.id


def address_group(address: str) -> str:
    """What is counted as one address: an IPv4 address, an IPv6 /64, or whatever else names the client."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))


def _refuse(database: Database, attempt: LoginFailure, source: Source, limits: Limits) -> None:
    with database.snapshot() as session:
        wait = _wait(session, attempt, source, limits, attempt.created_at)
    if wait is not None:
        raise RateLimited(limits.message, retry_after=wait, otherwise=limits.otherwise)


def _wait(session: Session, attempt: LoginFailure, source: Source, limits: Limits, now: datetime) -> int | None:
    since = now - limits.window
    counted = [(limits.per_source, rows.of_source(session, attempt, since))]
    if not source.is_known:
        counted.append((limits.per_account, rows.of_account(session, attempt, since)))
    if not source.is_known and limits.per_address is not None:
        counted.append((limits.per_address, rows.of_address(session, attempt, since)))
    waits = [
        _seconds(oldest, limits.window, now)
        for limit, (count, oldest) in counted
        if count >= limit and oldest is not None
    ]
    return max(waits, default=None)


def _seconds(oldest: datetime, window: timedelta, now: datetime) -> int:
    return max(1, math.ceil((oldest + window - now).total_seconds()))
