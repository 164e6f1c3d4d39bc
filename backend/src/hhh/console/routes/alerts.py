"""Alerts: what is wrong now, who is told, and whether that arrives."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.typed import Typed, WrongFieldsError, refusal
from hhh.console.views import alert_view
from hhh.core.errors import HHHError
from hhh.schemas.alert import ChannelResource, TestedChannel
from hhh.web.forms import Fields, Form
from hhh.web.state import services

router = page_router()


@router.get("/alerts")
def index(request: Request) -> Response:
    """What is wrong, channels, and the newest messages."""
    return _index(request)


@router.get("/new-alert")
def new(request: Request) -> Response:
    """The form of another channel."""
    return _form(request, alert_view.new_form())


@router.post("/new-alert")
def add(request: Request, fields: Form) -> Response:
    """Sets up a channel."""
    try:
        services(request).alerts.channels.add(alert_view.request_of(fields))
    except (WrongFieldsError, HHHError) as error:
        return _again(request, fields, error)
    return redirect("/alerts", done="channel-added")


@router.get("/alerts/{channel_id}/edit")
def edit(request: Request, channel_id: str) -> Response:
    """The form of one that is there."""
    channel = services(request).alerts.channels.get(channel_id)
    return _form(request, alert_view.form_of(channel), channel=channel)


@router.post("/alerts/{channel_id}/edit")
def change(request: Request, channel_id: str, fields: Form) -> Response:
    """Changes a channel."""
    channel = services(request).alerts.channels.get(channel_id)
    try:
        services(request).alerts.channels.change(channel_id, alert_view.change_of(fields))
    except (WrongFieldsError, HHHError) as error:
        return _again(request, fields, error, channel=channel)
    return redirect("/alerts", done="channel-changed")


@router.post("/alerts/{channel_id}/test")
def test(request: Request, channel_id: str) -> Response:
    """Sends a message now, and tells whether it was taken."""
    return _index(request, tested=services(request).alerts.channels.test(channel_id))


@router.post("/alerts/{channel_id}/remove")
def remove(request: Request, channel_id: str) -> Response:
    """Removes a channel."""
    services(request).alerts.channels.remove(channel_id)
    return redirect("/alerts", done="channel-removed")


def _index(request: Request, *, tested: TestedChannel | None = None) -> Response:
    context = {"shown": alert_view.shown(services(request)), "tested": tested, "words": alert_view}
    return page(request, "alerts", context)


def _again(
    request: Request,
    fields: Fields,
    error: WrongFieldsError | HHHError,
    *,
    channel: ChannelResource | None = None,
) -> Response:
    refused = refusal(error)
    typed = alert_view.form_again(fields, refused.errors)
    return _form(request, typed, channel=channel, error=refused.error, status=refused.status)


def _form(
    request: Request,
    typed: Typed,
    *,
    channel: ChannelResource | None = None,
    error: HHHError | None = None,
    status: int = 200,
) -> Response:
    context = {"typed": typed, "channel": channel, "error": error, "kinds": alert_view.KINDS}
    return page(request, "alert_channel_form", context, status=status)
