"""Users: made, listed, given roles and passwords."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError, InvalidInput, NotFound
from hhh.core.security import hash_password, new_token
from hhh.models import Role, User
from hhh.repositories import sessions as session_rows
from hhh.repositories import users as user_rows
from hhh.schemas.auth import LONGEST_PASSWORD
from hhh.services.cursors import is_id

#: The first super admin's name where no setting gives one.
DEFAULT_ADMIN_EMAIL = "admin@localhost"
SHORTEST_PASSWORD = 12
LONGEST_EMAIL = 254
#: Who does what the log tells, where it is nobody who is signed in.
_BY_CLI, _BY_SETTINGS = "cli", "settings"

log = structlog.get_logger(__name__)


def normalise_email(email: str) -> str:
    """The form in which e-mails are stored and compared."""
    return unicodedata.normalize("NFC", email.strip().casefold())


def create_user(session: Session, *, email: str, password: str, role: Role, by: str = _BY_CLI) -> User:
    """Makes a user.

    Args:
        session: a transaction.
        email: to sign in with.
        password: to sign in with.
        role: what they may do.
        by: the e-mail of who asks for it, for the log; else the operator does, on the server.

    Raises:
        InvalidInput: the e-mail is none or taken, or the password is too short or too long.
    """
    user = User(
        id=str(uuid.uuid4()),
        email=checked_email(email),
        password_hash=hash_password(checked_password(password)),
        role=role,
        created_at=utcnow(),
    )
    try:
        user_rows.add(session, user)
    except IntegrityError:
        raise InvalidInput(f"There is a user {user.email} already") from None
    log.info("user created", email=user.email, role=str(role), by=by)
    return user


def list_users(session: Session) -> Sequence[User]:
    """Everybody, by e-mail."""
    return user_rows.all_by_email(session)


def page(session: Session, *, after: str = "", limit: int) -> Sequence[User]:
    """Some of them, by e-mail: those that come after one."""
    return user_rows.page_by_email(session, after=after, limit=limit) if after.isprintable() else []


def get(session: Session, user_id: str) -> User:
    """One user.

    Raises:
        NotFound: none has that id.
    """
    user = user_rows.get(session, user_id) if is_id(user_id) else None
    if user is None:
        raise NotFound("No user has that id", hint="see `hhh users list`")
    return user


def set_role(session: Session, *, email: str, role: Role, by: str = _BY_CLI) -> User:
    """Gives a user another role; it counts from the next request on. `by` is as for `create_user`.

    Raises:
        NotFound: nobody has that e-mail.
        InvalidInput: nobody would be super admin any more.
    """
    super_admins = user_rows.lock_super_admins(session)
    user = _existing(session, email)
    if role != Role.SUPER_ADMIN:
        _refuse_last(super_admins, user)
    user.role = role
    log.info("role set", email=user.email, role=str(role), by=by)
    return user


def set_password(session: Session, *, email: str, password: str, by: str = _BY_CLI) -> User:
    """Gives a user another password and ends all their sessions. `by` is as for `create_user`.

    Raises:
        NotFound: nobody has that e-mail.
        InvalidInput: the password is too short or too long.
    """
    hashed = hash_password(checked_password(password))
    user = _existing(session, email)
    user.password_hash = hashed
    session_rows.end_all_of(session, user.id)
    log.info("password set", email=user.email, by=by)
    return user


def remove(session: Session, *, email: str, by: str = _BY_CLI) -> User:
    """Removes a user; their sessions end. What they asked for stays, and names them.

    Args:
        session: a transaction.
        email: of the user.
        by: as for `create_user`; nobody can remove themselves.

    Raises:
        NotFound: nobody has that e-mail.
        InvalidInput: it is who asks, or the last super admin.
    """
    super_admins = user_rows.lock_super_admins(session)
    user = _existing(session, email)
    if user.email == by:
        raise InvalidInput("Nobody removes themselves", hint="another super admin can")
    _refuse_last(super_admins, user)
    user_rows.remove(session, user)
    log.info("user removed", email=user.email, by=by)
    return user


def ensure_first_super_admin(settings: Settings, session: Session) -> str | None:
    """Sees to it that there is a super admin; a no-op where there is one.

    The first one is ``HHH_ADMIN_EMAIL`` (default `DEFAULT_ADMIN_EMAIL`) with ``HHH_ADMIN_PASSWORD``. A user who has
    that e-mail already gets the role and the password.

    Returns:
        The password, to be shown once, if no setting gave one and it was made here; else None.

    Raises:
        ConfigurationError: the e-mail or the password of the settings does not do.
    """
    if user_rows.has_super_admin(session):
        return None
    email = settings.admin_email or DEFAULT_ADMIN_EMAIL
    given = settings.admin_password.get_secret_value()
    password = given or new_token()
    try:
        if user_rows.by_email(session, normalise_email(email)) is None:
            create_user(session, email=email, password=password, role=Role.SUPER_ADMIN, by=_BY_SETTINGS)
        else:
            set_role(session, email=email, role=Role.SUPER_ADMIN, by=_BY_SETTINGS)
            set_password(session, email=email, password=password, by=_BY_SETTINGS)
    except InvalidInput as error:
        # Another worker, started at the same moment, may have been first.
        if user_rows.has_super_admin(session):
            return None
        raise ConfigurationError(
            f"The first super admin can't be made: {error.message}", hint="see HHH_ADMIN_EMAIL and HHH_ADMIN_PASSWORD"
        ) from None
    return None if given else password


def _existing(session: Session, email: str) -> User:
    normalised = normalise_email(email)
    # PostgreSQL would refuse some of what can't be printed with an error.
    user = user_rows.by_email(session, normalised, lock=True) if normalised.isprintable() else None
    if user is None:
        raise NotFound(f"There is no user {email}", hint="see `hhh users list`")
    return user


def _refuse_last(super_admins: Sequence[User], user: User) -> None:
    if [admin.id for admin in super_admins] == [user.id]:
        raise InvalidInput(f"{user.email} is the last super admin", hint="make somebody else one first")


def checked_email(email: str) -> str:
    """The normal form of an e-mail.

    Raises:
        InvalidInput: it is none.
    """
    # A name to sign in with: nothing is sent to it, so that `admin@localhost` does.
    normalised = normalise_email(email)
    local, at, domain = normalised.partition("@")
    well_formed = bool(local and at and domain) and "@" not in domain
    if not well_formed or " " in normalised or not normalised.isprintable() or len(normalised) > LONGEST_EMAIL:
        raise InvalidInput(
            "That is not an e-mail address", hint=f"one @, no spaces, at most {LONGEST_EMAIL} characters"
        )
    return normalised


def checked_password(password: str) -> str:
    """A password that is neither too short nor too long.

    Raises:
        InvalidInput: it is.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidInput(f"The password is too short: at least {SHORTEST_PASSWORD} characters are needed")
    if len(password) > LONGEST_PASSWORD:
        raise InvalidInput(f"The password is too long: at most {LONGEST_PASSWORD} characters are taken")
    return password
