"""Users: made, listed, given roles and passwords."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh.core.actor import Actor, ActorKind, acting, actor
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError, InvalidInput, NotFound, SuperAdminRequired
from hhh.core.security import hash_password, new_token
from hhh.models import Action, Role, User
from hhh.repositories import sessions as session_rows
from hhh.repositories import users as user_rows
from hhh.services import audit, second_factor
from hhh.services.cursors import is_id
from hhh.services.passwords import checked_password

#: The first super admin's name where no setting gives one.
DEFAULT_ADMIN_EMAIL = "admin@localhost"
LONGEST_EMAIL = 254
#: Who makes the first super admin.
_BY_SETTINGS = Actor(ActorKind.SERVICE, "settings")

log = structlog.get_logger(__name__)


def normalise_email(email: str) -> str:
    """The form in which e-mails are stored and compared."""
    return unicodedata.normalize("NFC", email.strip().casefold())


def create_user(session: Session, *, email: str, password: str, role: Role) -> User:
    """Makes a user.

    Args:
        session: a transaction.
        email: to sign in with.
        password: to sign in with.
        role: what they may do.

    Raises:
        InvalidInput: the e-mail is none or taken, or the password will not do.
        SuperAdminRequired: who asks is no super admin any longer.
    """
    normalised = checked_email(email)
    user = User(
        id=str(uuid.uuid4()),
        email=normalised,
        password_hash=hash_password(checked_password(password, email=normalised)),
        role=role,
        created_at=utcnow(),
    )
    _lock_super_admins(session)
    try:
        user_rows.add(session, user)
    except IntegrityError:
        raise InvalidInput(f"There is a user {user.email} already") from None
    log.info("user_created", email=user.email, role=str(role), by=_by())
    audit.record(session, Action.USER_CREATE, user.email, detail={"role": str(role)})
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


def set_role(session: Session, *, email: str, role: Role) -> User:
    """Gives a user another role; it counts from the next request on.

    Raises:
        NotFound: nobody has that e-mail.
        InvalidInput: nobody would be super admin any more.
        SuperAdminRequired: who asks is none themselves any longer.
    """
    super_admins = _lock_super_admins(session)
    user = _existing(session, email)
    if role != Role.SUPER_ADMIN:
        _refuse_last(super_admins, user)
    detail = {"role": str(role), "before": user.role}
    user.role = role
    log.info("role_set", email=user.email, role=str(role), by=_by())
    audit.record(session, Action.USER_CHANGE, user.email, detail=detail)
    return user


def set_password(session: Session, *, email: str, password: str, keep: str | None = None) -> User:
    """Gives a user another password and ends all their sessions, but the one with the id to `keep`.

    Raises:
        NotFound: nobody has that e-mail.
        InvalidInput: the password will not do.
        SuperAdminRequired: it is somebody else's, and who asks is no super admin any longer.
    """
    normalised = normalise_email(email)
    hashed = hash_password(checked_password(password, email=normalised))
    if normalised != actor().name:
        _lock_super_admins(session)
    user = _existing(session, email)
    user.password_hash = hashed
    session_rows.end_all_of(session, user.id, but=keep)
    log.info("password_set", email=user.email, by=_by())
    audit.record(session, Action.USER_CHANGE, user.email, detail={"password": "set"})
    return user


def end_sessions(session: Session, *, email: str) -> int:
    """Signs a user out everywhere; how many sessions they had.

    Raises:
        NotFound: nobody has that e-mail.
    """
    user = _existing(session, email)
    ended = session_rows.end_all_of(session, user.id)
    log.info("sessions_ended", email=user.email, sessions=ended, by=_by())
    audit.record(session, Action.SESSION_END, user.email, detail={"sessions": ended})
    return ended


def reset_second_factor(session: Session, *, email: str) -> bool:
    """Takes the second factor away from whoever lost it, and ends their sessions; False if they had none.

    Raises:
        NotFound: nobody has that e-mail.
    """
    user = _existing(session, email)
    ended = session_rows.end_all_of(session, user.id)
    had_one = second_factor.remove(session, user)
    if ended and not had_one:
        audit.record(session, Action.SESSION_END, user.email, detail={"sessions": ended})
    return had_one


def remove(session: Session, *, email: str) -> User:
    """Removes a user; their sessions end. What they asked for stays, and names them.

    Raises:
        NotFound: nobody has that e-mail.
        InvalidInput: it is who asks, or the last super admin.
        SuperAdminRequired: who asks is none any longer.
    """
    super_admins = _lock_super_admins(session)
    user = _existing(session, email)
    if actor().kind in {ActorKind.USER, ActorKind.TOKEN} and user.email == actor().name:
        raise InvalidInput("Nobody removes themselves", hint="another super admin can")
    _refuse_last(super_admins, user)
    user_rows.remove(session, user)
    log.info("user_removed", email=user.email, by=_by())
    audit.record(session, Action.USER_REMOVE, user.email)
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
        with acting(_BY_SETTINGS):
            is_made = _make_super_admin(session, email, password)
    except InvalidInput as error:
        # Another worker, started at the same moment, may have been first.
        if user_rows.has_super_admin(session):
            return None
        raise ConfigurationError(
            f"The first super admin can't be made: {error.message}", hint="see HHH_ADMIN_EMAIL and HHH_ADMIN_PASSWORD"
        ) from None
    return password if is_made and not given else None


def _make_super_admin(session: Session, email: str, password: str) -> bool:
    """Whether it was done here: another worker may have done it since somebody looked."""
    if user_rows.by_email(session, normalise_email(email)) is None:
        create_user(session, email=email, password=password, role=Role.SUPER_ADMIN)
        return True
    if user_rows.has_super_admin(session):
        return False
    set_role(session, email=email, role=Role.SUPER_ADMIN)
    set_password(session, email=email, password=password)
    return True


def _by() -> str:
    """Who does it, for the log."""
    return actor().name or str(actor().kind)


def _existing(session: Session, email: str) -> User:
    normalised = normalise_email(email)
    # PostgreSQL would refuse some of what can't be printed with an error.
    user = user_rows.by_email(session, normalised, lock=True) if normalised.isprintable() else None
    if user is None:
        raise NotFound(f"There is no user {email}", hint="see `hhh users list`")
    return user


def _lock_super_admins(session: Session) -> Sequence[User]:
    """All super admins, locked. Whoever is signed in and asks has to be one of them still: they may have waited."""
    super_admins = user_rows.lock_super_admins(session)
    if actor().kind == ActorKind.USER and actor().name not in {each.email for each in super_admins}:
        raise SuperAdminRequired(hint="your role was taken just now, or you were removed")
    return super_admins


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
