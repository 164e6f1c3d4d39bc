"""The page of alerts: what is wrong, who is told, and the form of a channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hhh.artifacts.naming import valid_target_name
from hhh.console.typed import Typed, WrongFieldsError, said_of, typed_again
from hhh.models import AlertKind
from hhh.schemas.alert import (
    ChannelChange,
    ChannelRequest,
    ChannelResource,
    DeliveryResource,
    PresentTroubles,
    TroubleResource,
)
from hhh.services.alert_messages import SEVERAL
from hhh.services.container import Services
from hhh.web.forms import Fields

Asked = TypeVar("Asked", bound=BaseModel)

_NEWEST = 20
#: What each kind is about, for boxes and lists.
KINDS: Mapping[str, str] = {
    AlertKind.BACKUP_FAILED: "A backup failed",
    AlertKind.VERIFICATION_FAILED: "A verification failed, or the newest backup is gone",
    AlertKind.BACKUP_OVERDUE: "A backup is overdue",
    AlertKind.PROOF_OVERDUE: "A proof is overdue",
    AlertKind.STORE_FAILING: "A store fails, or lacks copies",
    AlertKind.STORE_NEARLY_FULL: "A store is nearly full",
    AlertKind.WORKER_LOST: "A worker is lost",
    AlertKind.RETENTION_STUCK: "Retention could not delete",
    AlertKind.SIZE_ODD: "A backup is much larger or smaller than usual",
}
#: Whose pages troubles of no target lead to.
_PAGES = {AlertKind.STORE_FAILING: "/stores/", AlertKind.STORE_NEARLY_FULL: "/stores/"}


@dataclass(frozen=True, slots=True)
class ShownAlerts:
    """All of the page."""

    present: PresentTroubles
    channels: Sequence[ChannelResource]
    deliveries: Sequence[DeliveryResource]
    has_heartbeat: bool


def shown(services: Services) -> ShownAlerts:
    """What the page shows."""
    alerts = services.alerts
    return ShownAlerts(
        alerts.troubles(),
        alerts.channels.list(),
        alerts.deliveries(limit=_NEWEST),
        has_heartbeat=bool(services.settings.heartbeat_url.get_secret_value()),
    )


def page_of(trouble: TroubleResource) -> str:
    """Where to look at what a trouble is about."""
    if trouble.target is not None:
        return f"/targets/{trouble.target}"
    kept = _PAGES.get(trouble.kind)
    return f"{kept}{trouble.subject}" if kept is not None else "/workers"


def kinds_of(channel: ChannelResource) -> str:
    """What a channel is told of, in words."""
    if channel.kinds is None:
        return "everything"
    return "; ".join(KINDS[each][0].lower() + KINDS[each][1:] for each in channel.kinds) or "nothing"


def kind_of(delivery: DeliveryResource) -> str:
    """What a message is about, in words."""
    return "Several at once" if delivery.kind == SEVERAL else KINDS.get(delivery.kind, delivery.kind)


def new_form() -> Typed:
    """The form of a channel that is to be set up: it is told of everything."""
    return Typed({"kinds": [*KINDS], "enabled": ["yes"]})


def form_of(channel: ChannelResource) -> Typed:
    """The form of a channel that is to be another."""
    return Typed(
        {
            "name": [channel.name],
            "kinds": [*(channel.kinds if channel.kinds is not None else KINDS)],
            "targets": [", ".join(channel.targets or ())],
            "enabled": ["yes"] if channel.enabled else [],
        }
    )


def form_again(fields: Fields, errors: Mapping[str, str]) -> Typed:
    """A form as it was sent, without its secret."""
    return typed_again(fields, secrets={"url"}, errors=errors)


def request_of(fields: Fields) -> ChannelRequest:
    """The channel that is to be set up.

    Raises:
        WrongFieldsError: something can't be used.
    """
    wrong = {} if fields.text("url") else {"url": "This is needed"}
    return _checked(ChannelRequest, {**_typed(fields, wrong), "url": fields.text("url")})


def change_of(fields: Fields) -> ChannelChange:
    """What a channel is to be; without a URL the known one is kept.

    Raises:
        WrongFieldsError: something can't be used.
    """
    url = {"url": fields.text("url")} if fields.text("url") else {}
    return _checked(ChannelChange, {**_typed(fields, {}), **url})


def _typed(fields: Fields, wrong: Mapping[str, str]) -> dict[str, object]:
    kinds = [each for each in fields.all("kinds") if each in KINDS]
    targets = [each.strip() for each in fields.text("targets").split(",") if each.strip()]
    errors = dict(wrong)
    if not valid_target_name(fields.text("name")):
        errors["name"] = "This can't be its name"
    if not kinds:
        errors["kinds"] = "Choose at least one"
    if errors:
        raise WrongFieldsError(errors)
    return {
        "name": fields.text("name"),
        "kinds": kinds if len(kinds) < len(KINDS) else None,
        "targets": targets or None,
        "enabled": bool(fields.text("enabled")),
    }


def _checked(model: type[Asked], values: Mapping[str, object]) -> Asked:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise WrongFieldsError(said_of(error)) from None
