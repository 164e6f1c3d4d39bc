"""Sends messages to one receiver, by a process of its own (`hhh.services.alert_child`), within bounds."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hhh.core.config import Settings
from hhh.core.errors import HHHError, InvalidInput, ToolFailed
from hhh.core.process import Child, running
from hhh.services.alert_services import service_of
from hhh.services.local_addresses import refuse_local_receiver

#: Seconds that a receiver has for one message.
PATIENCE = 30.0
#: How the error of a message begins that was taken by some of those whom a URL names, and not by others.
PARTLY = "Not everybody took it: "
_NAME = "The sender of alerts"
_PROGRAM = "hhh.services.alert_child"
#: By what a machine says how the world is reached, and whom it believes.
_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    id: str
    title: str
    body: str
    #: As Apprise has it: ``failure``, ``warning``, ``success`` or ``info``.
    type: str


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where it is sent to."""

    url: str = field(repr=False)
    #: Whether it may not be on this machine or its link.
    refuse_local: bool
    patience: float = PATIENCE


class Unusable(HHHError):
    """The URL of a channel can't be used."""


def opened(settings: Settings, url: str) -> Receiver:
    """The receiver of a URL; every channel's is opened here, when it is set up and for each message.

    Raises:
        InvalidInput: alerts can't go there, or ``HHH_REFUSE_LOCAL_ADDRESSES`` forbids it.
    """
    if service_of(url).has_host:
        refuse_local_receiver(settings, url)
    return Receiver(url, settings.refuse_local_addresses)


def check(receiver: Receiver) -> None:
    """Sees whether a URL can be used; nobody is asked.

    Raises:
        InvalidInput: it can't.
    """
    try:
        send(receiver, [])
    except Unusable as error:
        raise InvalidInput(
            f"The URL of the channel can't be used: {error.message}", hint="see docs/alerts.md for its form"
        ) from None


def send(receiver: Receiver, messages: Sequence[Message]) -> Mapping[str, str | None]:
    """Sends messages in their order; by id why each was not taken, None for one that was.

    One that is not among them was not tried, since one before it took too long.

    Raises:
        Unusable: the URL can't be used.
        ToolFailed, ToolMissing: the process could not do its work.
    """
    arguments = [sys.executable, "-I", "-m", _PROGRAM]
    told: dict[str, str | None] = {}
    with running(arguments, environment=environment(), stdin=True, name=_NAME) as child:
        with contextlib.suppress(BrokenPipeError):  # it has ended already: `finish` finds out why
            child.stdin.write(_request(receiver, messages))
        answers = _Answers(child, receiver.patience)
        for each in _accepted(answers):
            told[each["id"]] = f"{PARTLY}{each['error']}" if each["error"] and each["reached_some"] else each["error"]
        if answers.is_late:
            return _with_next(told, messages, f"It did not answer within {receiver.patience:g} seconds")
        try:
            child.finish()
        except ToolFailed as error:  # what it has sent before is not sent again for that
            if not messages:
                raise
            return _with_next(told, messages, str(error))
    return told


class _Answers:
    """What the process answers, until it ends or takes too long for the next.

    Attributes:
        is_late: whether it took too long.
    """

    def __init__(self, child: Child, patience: float) -> None:
        self._stdout = child.stdout.fileno()
        self._patience = patience
        self.is_late = False

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        received = b""
        while chunk := self._next():
            *lines, received = (received + chunk).split(b"\n")
            yield from map(json.loads, lines)

    def _next(self) -> bytes:
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        self.is_late = not poll.poll(self._patience * 1000)
        return b"" if self.is_late else os.read(self._stdout, 1 << 16)


def _accepted(answers: _Answers) -> Iterator[Mapping[str, Any]]:
    """The answers after the first one, which tells whether the URL can be used."""
    for answer in answers:
        if "refused" not in answer:
            yield answer
        elif answer["refused"] is not None:
            raise Unusable(answer["refused"])


def _with_next(told: Mapping[str, str | None], messages: Sequence[Message], error: str) -> Mapping[str, str | None]:
    """What was told, and the error of the message that it was at."""
    at = next((each.id for each in messages if each.id not in told), None)
    return {**told, at: error} if at is not None else told


def _request(receiver: Receiver, messages: Sequence[Message]) -> bytes:
    asked = {"url": receiver.url, "refuse_local": receiver.refuse_local, "messages": [*map(asdict, messages)]}
    return json.dumps(asked).encode() + b"\n"


def environment() -> Mapping[str, str]:
    """What a process needs to know that asks somebody elsewhere."""
    names = [*_PASSED_ON, *map(str.lower, _PASSED_ON)]
    return {name: os.environ[name] for name in names if name in os.environ}
