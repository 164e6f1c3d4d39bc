"""Links from one page to another, and how many pages a list has."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode


def link(path: str, query: Mapping[str, str | int]) -> str:
    """A path with what is asked for there, as far as it says something: nothing that is empty, no first page."""
    said = {name: value for name, value in query.items() if value != "" and (name, value) != ("page", 1)}
    return f"{path}?{urlencode(said)}" if said else path


def pages(found: int, on_each: int) -> int:
    """How many pages a list has that is found to have so many lines; one where it is empty."""
    return max(1, -(-found // on_each))
