"""Who acts: behind each change there is somebody, and the audit log names them.

Held in a context variable, as the log's own fields are (`structlog.contextvars`): what a service does is the same for
everybody, and who asked for it is known far above. The web layer sets it for each request, the command line for each
command, a worker for each job.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    """What somebody is."""

    NOBODY = "nobody"  #: a request, before it is known whose it is
    USER = "user"  #: somebody who is signed in
    TOKEN = "token"  # noqa: S105  #: a program, with a token of somebody
    SCHEDULE = "schedule"  #: a schedule, when its moment came
    CLI = "cli"  #: whoever runs a command on a machine of the service
    SERVICE = "service"  #: the service, by its own rules


@dataclass(slots=True)
class Actor:
    """Somebody who acts. One object for each request, so that whoever finds out who it is can say so to all."""

    kind: ActorKind
    #: Of a user, and of a token's owner, the e-mail; of a schedule its id; of a command the account of the machine.
    name: str = ""
    #: The name of the token.
    token: str | None = None
    #: The client's address; behind trusted proxies what they say.
    address: str | None = None
    request_id: str | None = None

    def identify(self, kind: ActorKind, name: str, *, token: str | None = None) -> None:
        """Says who it is."""
        self.kind, self.name, self.token = kind, name, token

    def told(self) -> dict[str, str | None]:
        """As JSON, for a job that goes on in somebody's name."""
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, str | None] | None) -> Actor:
        """What `told` gave; the service where nothing did."""
        if not told:
            return cls(ActorKind.SERVICE)
        return cls(
            ActorKind(told["kind"] or ActorKind.SERVICE),
            told["name"] or "",
            told.get("token"),
            told.get("address"),
            told.get("request_id"),
        )


_ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)


def actor() -> Actor:
    """Who acts now; the service, where nobody asked."""
    return _ACTOR.get() or Actor(ActorKind.SERVICE)


@contextlib.contextmanager
def acting(as_actor: Actor) -> Iterator[Actor]:
    """What runs in the block is done by them."""
    token = _ACTOR.set(as_actor)
    try:
        yield as_actor
    finally:
        _ACTOR.reset(token)
