"""The present password of whoever is signed in, which forms ask for that a stolen session must not send."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from hhh.console.typed import WrongFieldsError
from hhh.console.words import seconds_in_words
from hhh.core.errors import InvalidCredentials, RateLimited
from hhh.schemas.auth import LONGEST_PASSWORD
from hhh.services.auth import Principal
from hhh.services.sign_in import confirm_password
from hhh.web.forms import Fields
from hhh.web.state import own_database, settings

#: The name of the field; `user_parts.html.j2` draws it.
FIELD: Final = "present_password"


class TooManyTriesError(WrongFieldsError):
    """Nobody looks at what is typed for a while."""

    status = RateLimited.status

    def __init__(self, error: RateLimited, *, field: str = FIELD) -> None:
        super().__init__({field: f"{error.message}: try again in {seconds_in_words(error.retry_after)}"})
        self.headers = error.headers


def typed(fields: Fields) -> str:
    """The present password, as it was typed.

    Raises:
        WrongFieldsError: none was, or one that is nobody's.
    """
    password = fields.get(FIELD, "")
    if not password:
        raise WrongFieldsError({FIELD: "Type your password, to show that it is you"})
    if len(password) > LONGEST_PASSWORD:
        raise WrongFieldsError({FIELD: "This is not your password"})
    return password


def confirm(request: Request, user: Principal, fields: Fields) -> None:
    """Sees to it that the form has the present password of who sends it; to be called before the route's transaction.

    Raises:
        WrongFieldsError: it has none, or another.
        TooManyTriesError: too many were wrong.
    """
    password = typed(fields)
    try:
        confirm_password(own_database(request), settings(request), user, password)
    except RateLimited as error:
        raise TooManyTriesError(error) from None
    except InvalidCredentials as error:
        raise WrongFieldsError({FIELD: error.message}) from None
