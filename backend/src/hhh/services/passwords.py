"""Which passwords are taken: long enough, and not one that everybody tries first.

Why a list and not a score: docs/decisions/0027-second-factor-and-passwords.md.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from functools import cache

from hhh.core.errors import InvalidInput
from hhh.schemas.auth import LONGEST_PASSWORD

SHORTEST_PASSWORD = 12
#: What is tried first at this very service.
_OURS = frozenset({"hhh", "backup", "backups", "restore", "admin", "administrator", "superadmin", "root", "localhost"})
_LEET = str.maketrans("013457@$!", "oleastasi")
_NO_LETTERS_OR_DIGITS = re.compile(r"[\W_]+")
_DIGITS = "0123456789"
_ENDS = re.compile(r"\A[\W\d_]+|[\W\d_]+\Z")
#: A part of an e-mail that is shorter says nothing about a password.
_SHORTEST_NAME = 3
#: A password of so few different characters is no better than a short one.
_FEWEST_CHARACTERS = 5


def checked_password(password: str, *, email: str = "") -> str:
    """A password that will do.

    Args:
        password: as it was typed.
        email: of whose it is to be.

    Raises:
        InvalidInput: it is too short, too long, or among those that are guessed first; the message says which.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidInput(f"The password is too short: at least {SHORTEST_PASSWORD} characters are needed")
    if len(password) > LONGEST_PASSWORD:
        raise InvalidInput(f"The password is too long: at most {LONGEST_PASSWORD} characters are taken")
    reason = _reason_against(password.casefold(), email.casefold())
    if reason:
        raise InvalidInput(
            f"The password is easily guessed: {reason}", hint="take several words that have nothing to do with it"
        )
    return password


def _reason_against(password: str, email: str) -> str | None:
    if len(set(password)) < _FEWEST_CHARACTERS:
        return f"it has fewer than {_FEWEST_CHARACTERS} different characters"
    if _is_sequence(password):
        return "it is a sequence"
    forms = _simpler(password)
    if any(_is_made_of(form, _OURS | _names_in(email)) for form in forms):
        return "it is made of the e-mail, or of names of this service"
    if any(_repeated(form) in _common() for form in {password, *forms}):
        return "it is on the list of those that are tried first, or a simple variation of one"
    return None


def _simpler(password: str) -> set[str]:
    """The same without what is put around and between: `P4$$w0rd-2024!` is `password`, too."""
    ends = _ENDS.sub("", password)
    plain = {_NO_LETTERS_OR_DIGITS.sub("", each) for each in (password, ends, ends.translate(_LEET))}
    return {form for each in plain for form in (each, each.strip(_DIGITS)) if form}


def _is_sequence(text: str) -> bool:
    """Whether each character follows the one before it: `123456789012`, `abcdefghijkl`, `zyxwvu…`."""
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(text)}
    return len(steps) == 1 or (text.isdecimal() and len({step % 10 for step in steps}) == 1)


def _repeated(text: str) -> str:
    """What it is a repetition of: `passwordpassword` is `password`."""
    # The first place where a text is found again in itself, doubled, is the length of what it repeats.
    period = (text + text).find(text, 1)
    return text[:period]


def _names_in(email: str) -> frozenset[str]:
    parts = re.split(r"[\W_]+", email)
    local = email.partition("@")[0]
    whole = {_NO_LETTERS_OR_DIGITS.sub("", each) for each in (email, local)}
    return frozenset(each for each in {*parts, *whole} if len(each) >= _SHORTEST_NAME)


def _is_made_of(text: str, words: Collection[str]) -> bool:
    """Whether it is nothing but such words, one after the other; in steps, so that no text takes long."""
    reached = {0}
    for at in range(len(text)):
        if at in reached:
            reached |= {at + len(word) for word in words if text.startswith(word, at)}
    return bool(text) and len(text) in reached


@cache
def _common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

    return frozenset(FREQUENCY_LISTS["passwords"])
