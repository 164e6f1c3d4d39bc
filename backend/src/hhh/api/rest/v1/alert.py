"""What is wrong now, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hhh.models import Scope
from hhh.schemas.alert import (
    ChannelChange,
    ChannelRequest,
    ChannelResource,
    DeliveryResource,
    PresentTroubles,
    TestedChannel,
)
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_ADMIN = [Depends(allowed(Scope.ADMIN))]
_MOST = 1000


@router.get("", dependencies=_READ)
def index(request: Request) -> PresentTroubles:
    """What was wrong at the last look, and when that was."""
    return services(request).alerts.troubles()


@router.get("/deliveries", dependencies=_READ)
def deliveries(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 50,
    *,
    undelivered: Annotated[bool, Query(description="Only those that have not arrived.")] = False,
) -> Sequence[DeliveryResource]:
    """The newest messages, each to one channel; they are kept for 30 days."""
    return services(request).alerts.deliveries(limit=limit, undelivered=undelivered)


@router.get("/channels", dependencies=_ADMIN)
def channels(request: Request) -> Sequence[ChannelResource]:
    """All channels, by name."""
    return services(request).alerts.channels.list()


@router.post("/channels", dependencies=_ADMIN, status_code=201)
def add(request: Request, response: Response, body: ChannelRequest) -> ChannelResource:
    """Sets up a channel; its URL is kept encrypted and never comes back whole. Nothing is sent yet."""
    added = services(request).alerts.channels.add(body)
    response.headers["Location"] = f"/api/v1/alerts/channels/{added.id}"
    return added


@router.get("/channels/{channel}", dependencies=_ADMIN)
def show(request: Request, channel: str) -> ChannelResource:
    """One channel, by its id or name."""
    return services(request).alerts.channels.get(channel)


@router.patch("/channels/{channel}", dependencies=_ADMIN)
def change(request: Request, channel: str, body: ChannelChange) -> ChannelResource:
    """Changes what is named, and leaves the rest as it is."""
    return services(request).alerts.channels.change(channel, body)


@router.delete("/channels/{channel}", dependencies=_ADMIN, status_code=204)
def remove(request: Request, channel: str) -> None:
    """Removes a channel, and what waits for it."""
    services(request).alerts.channels.remove(channel)


@router.post("/channels/{channel}/test", dependencies=_ADMIN)
def test(request: Request, channel: str) -> TestedChannel:
    """Sends a message now; 200 also if it was not taken, with `ok` false and the error."""
    return services(request).alerts.channels.test(channel)
