"""Requests and responses about alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from hhh.models import AlertEvent, AlertKind
from hhh.schemas.base import ApiModel, Moment

_Url = Annotated[SecretStr, Field(max_length=2000)]
_Pattern = Annotated[str, StringConstraints(max_length=63, pattern=r"^[A-Za-z0-9._*?\[\]!-]+$")]
_URL = (
    "Where alerts go, as Apprise writes it: `mailtos://user:password@smtp.example.com?to=ops@example.com`, "
    "`slack://…`, `jsons://…`. It is kept encrypted and never comes back whole."
)
DeliveryStatus = Literal["delivered", "waiting", "given-up"]
_KINDS = "Of what is told; null: of everything."
_TARGETS = (
    "Of which targets, by name or pattern (`prod-*`); null: of all. What is of no target, such as a store, is told all."
)


class ChannelRequest(ApiModel):
    """A channel to set up."""

    name: str = Field(description="Lower-case letters, digits, `-`, `_`, `.`; at most 63 characters.")
    url: _Url = Field(description=_URL)
    kinds: list[AlertKind] | None = Field(default=None, description=_KINDS)
    targets: list[_Pattern] | None = Field(default=None, max_length=1000, description=_TARGETS)
    enabled: bool = True


class ChannelChange(ApiModel):
    """What is to be another in a channel; what is left out stays."""

    name: str | None = None
    url: _Url | None = Field(default=None, description=_URL)
    kinds: list[AlertKind] | None = Field(default=None, description=_KINDS)
    targets: list[_Pattern] | None = Field(default=None, max_length=1000, description=_TARGETS)
    enabled: bool | None = Field(default=None, description="False: nothing goes there, and what waits is dropped.")


class ChannelResource(ApiModel):
    """A channel. No secret is in it."""

    id: str
    name: str
    url: str = Field(description="Its scheme, and its server where it names one.")
    problem: str | None = Field(description="Why it can't be opened, e.g. with another secret key.")
    kinds: list[AlertKind] | None = Field(description=_KINDS)
    targets: list[str] | None = Field(description=_TARGETS)
    enabled: bool
    waiting: int = Field(description="Messages that are still to be delivered.")
    created_at: Moment
    last_delivered_at: Moment | None
    last_failed_at: Moment | None
    last_error: str | None = Field(description="Why the last message was not taken; null once one was.")


class TestedChannel(ApiModel):
    """What became of a message that was sent to try a channel."""

    name: str
    ok: bool
    error: str | None


class TroubleResource(ApiModel):
    """Something that is wrong now."""

    kind: AlertKind
    subject: str = Field(description="The target, store or worker.")
    target: str | None = Field(description="The target that it is about, where it is about one.")
    title: str
    what: str
    said: str = Field(description="What the tool said last; empty where there was none.")
    advice: str = Field(description="What to do next.")
    since: Moment
    told_at: Moment = Field(description="When it began or changed last.")


class PresentTroubles(ApiModel):
    """What is wrong, as far as it was looked for."""

    looked_at: Moment | None = Field(
        description="When the service looked last, which it does each minute; null: it never has. Older than a few "
        "minutes: no service runs, and nobody knows what is wrong now."
    )
    troubles: list[TroubleResource] = Field(description="The longest first.")


class DeliveryResource(ApiModel):
    """A message to one channel."""

    id: str
    channel: str
    kind: str = Field(description="As of a trouble; `several` where one message tells of many.")
    subject: str
    event: AlertEvent
    title: str
    status: DeliveryStatus = Field(description="`given-up`: it was tried for a week.")
    attempts: int
    created_at: Moment
    next_try_at: Moment | None
    delivered_at: Moment | None
    error: str | None = Field(description="Why it was not taken the last time.")
