"""One operation: its route, and what the description says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from hhh.models import Scope
from hhh.web.csrf import SAFE_METHODS
from hhh.web.session import Allowed

_END_OF_SUMMARY = re.compile(r"[.;:](?:\s|$)")


@dataclass(frozen=True)
class Operation:
    """A method of a path. What is added to `described` is in the description."""

    method: str
    route: APIRoute
    described: dict[str, Any]
    description: dict[str, Any]

    @property
    def path(self) -> str:
        return self.route.path_format

    @property
    def key(self) -> tuple[str, str]:
        """By which tables name it."""
        return self.method, self.path

    @property
    def tag(self) -> str:
        """Its group."""
        return str((self.route.tags or ["other"])[0])

    @property
    def id(self) -> str:
        """Such as `backups_trigger`: the group, and the name of the route."""
        return f"{self.tag}_{self.route.name}"

    @property
    def summary(self) -> str:
        """The first sentence of what it does, or the first part of that."""
        said = " ".join((self.route.description or self.route.name).split("\n\n")[0].split())
        end = _END_OF_SUMMARY.search(said)
        return said[: end.start()] if end else said

    @property
    def is_mutating(self) -> bool:
        return self.method not in SAFE_METHODS

    @property
    def names_something(self) -> bool:
        """Whether its path does."""
        return "{" in self.path

    @property
    def takes_input(self) -> bool:
        return "requestBody" in self.described or bool(self.described.get("parameters"))

    @property
    def responses(self) -> dict[str, Any]:
        found: dict[str, Any] = self.described["responses"]
        return found

    @cached_property
    def calls(self) -> frozenset[Callable[..., Any]]:
        """Its dependencies, those of dependencies included."""
        return frozenset(_calls(self.route.dependant))

    @property
    def scopes(self) -> tuple[Scope, ...] | None:
        """Of which a token needs one; None: none in particular."""
        found = [call.scopes for call in self.calls if isinstance(call, Allowed)]
        # A route may demand less than the router that it is in, never more: all of them must be met.
        return min(found, key=len) if found else None


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from _calls(each)
