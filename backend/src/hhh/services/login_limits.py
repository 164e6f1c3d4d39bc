"""How often somebody may try a password: so many failures per account and per address in a sliding window."""

from __future__ import annotations

import ipaddress
import math
import uuid
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import RateLimited
from hhh.core.security import authentication_code, derive_key
from hhh.models import LoginFailure
from hhh.repositories import login_failures as rows

WINDOW = timedelta(minutes=15)
FAILURES_PER_ACCOUNT = 10
FAILURES_PER_ADDRESS = 50
#: Who holds one address of an IPv6 network holds them all.
_IPV6_PREFIX = 64


def count_attempt(database: Database, settings: Settings, *, email: str, address: str, now: datetime) -> str:
    """Counts an attempt as failed before its password is looked at; `login_failures.forget` takes it back.

    It is committed before the others are counted, so that however many try at once, no more than the limit get
    through, on any database and from any number of processes.

    Args:
        database: where to count; two short transactions.
        settings: for the key under which e-mails are hashed.
        email: normalised; whether anybody has it makes no difference.
        address: the client's.
        now: when.

    Returns:
        The id of the counted attempt.

    Raises:
        RateLimited: too many have failed; this attempt is not counted, so that waiting always helps.
    """
    key = derive_key(settings.secret, "login-failures")
    attempt = LoginFailure(
        id=str(uuid.uuid4()),
        account=authentication_code(key, email),
        address=address_group(address),
        created_at=now,
    )
    with database.transaction() as session:
        rows.prune(session, now - WINDOW)
        rows.add(session, attempt)
    with database.snapshot() as session:
        wait = _wait(session, attempt, now)
    if wait is not None:
        with database.transaction() as session:
            rows.forget(session, attempt.id)
        raise RateLimited("Too many failed sign-ins", retry_after=wait, hint=f"try again in {wait} seconds")
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


def _wait(session: Session, attempt: LoginFailure, now: datetime) -> int | None:
    since = now - WINDOW
    limits = (
        (FAILURES_PER_ACCOUNT, rows.of_account(session, attempt, since)),
        (FAILURES_PER_ADDRESS, rows.of_address(session, attempt, since)),
    )
    waits = [_seconds(oldest, now) for limit, (count, oldest) in limits if count >= limit and oldest is not None]
    return max(waits, default=None)


def _seconds(oldest: datetime, now: datetime) -> int:
    return max(1, math.ceil((oldest + WINDOW - now).total_seconds()))
