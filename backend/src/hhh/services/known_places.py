"""Places that an account's owner has signed in from: what fails elsewhere does not lock them out there.

A place is an address, noted at each sign-in, or a browser, which has a signed cookie since it signed in. As OWASP's
device cookies (https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).

At each place there are guesses of its own. So that nobody who knew a password once has a thousand places to guess the
next one at, a cookie is good for the password that it was given for, and few addresses are known.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.security import authentication_code, derive_key, same
from hhh.models import User
from hhh.repositories import known_places as rows
from hhh.repositories.login_failures import DEVICE, KNOWN
from hhh.services.login_limits import Source, address_group

#: So long an address is known after the last sign-in from it.
ADDRESS_LIFETIME = timedelta(days=30)
#: So long a browser is, which is nobody else's.
DEVICE_LIFETIME = timedelta(days=90)
#: So many addresses of an account are known, the newest.
MOST_ADDRESSES = 20
_NONCE_BYTES = 12
_PARTS = 3
#: Characters that a place has.
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks to be let in, as far as the connection tells."""

    address: str
    #: What it says it is: `User-Agent`.
    agent: str = ""
    #: What `device_token` gave to its browser.
    device: str = ""


def source_of(session: Session, settings: Settings, user: User | None, client: Client, now: datetime) -> Source:
    """Where an attempt is counted; of an e-mail that nobody has every place is unknown."""
    group = address_group(client.address)
    if user is not None:
        nonce = _nonce(settings, user, client.device, now)
        if nonce is not None:
            return Source(DEVICE + nonce, is_known=True)
        if rows.has(session, user.id, group, now - ADDRESS_LIFETIME):
            return Source((KNOWN + group)[:_LONGEST], is_known=True)
    # What is no address, as a proxy may tell it, must not look like a place that is known.
    return Source(group.replace(" ", "_"), is_known=False)


def remember(session: Session, user: User, client: Client, now: datetime) -> None:
    """Notes that somebody has signed in; whoever calls it has locked the user."""
    rows.prune(session, now - ADDRESS_LIFETIME)
    rows.see(session, user.id, address_group(client.address), now)
    rows.keep_newest(session, user.id, MOST_ADDRESSES)


def device_token(settings: Settings, user: User, *, now: datetime) -> str:
    """What a browser that has signed in shows the next time: ``<time>.<nonce>.<code>``."""
    told = f"{int(now.timestamp())}.{secrets.token_hex(_NONCE_BYTES)}"
    return f"{told}.{_code(settings, user, told)}"


def _nonce(settings: Settings, user: User, token: str, now: datetime) -> str | None:
    parts = token.split(".")
    if len(parts) != _PARTS or not same(parts[2], _code(settings, user, f"{parts[0]}.{parts[1]}")):
        return None
    is_recent = now.timestamp() - int(parts[0]) < DEVICE_LIFETIME.total_seconds()
    return parts[1] if is_recent else None


def _code(settings: Settings, user: User, told: str) -> str:
    key = derive_key(settings.secret, "known-devices")
    return authentication_code(key, f"{user.id}.{told}.{user.password_hash}")
