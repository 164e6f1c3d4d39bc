"""Which services alerts can go to: a part of those that Apprise knows, each by the schemes of its URLs.

Left out is what makes no sense on a server: what shows something on its desktop, writes to its own log, needs a
program or a library that is not here, or can't tell whether anybody has taken a message (syslog by UDP). A scheme that
is not in the table is refused when a channel is set up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from hhh.core.errors import InvalidInput

_HINT = "known are mailtos://, slack://, discord://, tgram://, ntfys://, jsons:// and more: see docs/alerts.md"


@dataclass(frozen=True, slots=True)
class AlertService:
    """One of Apprise's plugins."""

    #: Below ``apprise.plugins``.
    module: str
    #: The class in it.
    plugin: str
    #: Whether what stands after ``://`` is a server, which may be shown; else it is most often a secret.
    has_host: bool = False
    #: Whether words in a message may call people (``@everyone``), or hide where a link leads.
    is_chat: bool = False


def _of(
    module: str, plugin: str, *schemes: str, has_host: bool = False, is_chat: bool = False
) -> Mapping[str, AlertService]:
    return dict.fromkeys(schemes, AlertService(module, plugin, has_host, is_chat))


#: By scheme.
SERVICES: Mapping[str, AlertService] = {
    **_of("email.base", "NotifyEmail", "mailto", "mailtos", has_host=True),
    **_of("custom_json", "NotifyJSON", "json", "jsons", has_host=True),
    **_of("custom_form", "NotifyForm", "form", "forms", has_host=True),
    **_of("custom_xml", "NotifyXML", "xml", "xmls", has_host=True),
    **_of("apprise_api", "NotifyAppriseAPI", "apprise", "apprises", has_host=True),
    **_of("slack", "NotifySlack", "slack", is_chat=True),
    **_of("discord", "NotifyDiscord", "discord", is_chat=True),
    **_of("workflows", "NotifyWorkflows", "workflow", "workflows", is_chat=True),
    **_of("google_chat", "NotifyGoogleChat", "gchat", is_chat=True),
    **_of("webexteams", "NotifyWebexTeams", "wxteams", "webex", is_chat=True),
    **_of("zulip", "NotifyZulip", "zulip", is_chat=True),
    **_of("mattermost", "NotifyMattermost", "mmost", "mmosts", has_host=True, is_chat=True),
    **_of("rocketchat", "NotifyRocketChat", "rocket", "rockets", has_host=True, is_chat=True),
    **_of("matrix", "NotifyMatrix", "matrix", "matrixs", has_host=True, is_chat=True),
    **_of("nextcloudtalk", "NotifyNextcloudTalk", "nctalk", "nctalks", has_host=True, is_chat=True),
    **_of("synology", "NotifySynology", "synology", "synologys", has_host=True, is_chat=True),
    **_of("telegram", "NotifyTelegram", "tgram", is_chat=True),
    **_of("signal_api", "NotifySignalAPI", "signal", "signals", has_host=True),
    **_of("threema", "NotifyThreema", "threema"),
    **_of("ntfy", "NotifyNtfy", "ntfy", "ntfys"),
    **_of("gotify", "NotifyGotify", "gotify", "gotifys", has_host=True),
    **_of("pushover", "NotifyPushover", "pover"),
    **_of("pushbullet", "NotifyPushBullet", "pbul"),
    **_of("pagerduty", "NotifyPagerDuty", "pagerduty"),
    **_of("opsgenie", "NotifyOpsgenie", "opsgenie"),
    **_of("splunk", "NotifySplunk", "splunk", "victorops"),
    **_of("betterstack", "NotifyBetterStack", "betterstack"),
    **_of("ilert", "NotifyILert", "ilert"),
    **_of("incidentio", "NotifyIncidentIO", "incidentio"),
    **_of("squadcast", "NotifySquadcast", "squadcast"),
    **_of("goalert", "NotifyGoAlert", "goalert", "goalerts", has_host=True),
    **_of("pagertree", "NotifyPagerTree", "pagertree"),
    **_of("twilio", "NotifyTwilio", "twilio"),
    **_of("vonage", "NotifyVonage", "vonage", "nexmo"),
    **_of("ses", "NotifySES", "ses"),
    **_of("sns", "NotifySNS", "sns"),
    **_of("sendgrid", "NotifySendGrid", "sendgrid"),
    **_of("mailgun", "NotifyMailgun", "mailgun"),
    **_of("brevo", "NotifyBrevo", "brevo"),
    **_of("postmark", "NotifyPostmark", "postmark"),
    **_of("sparkpost", "NotifySparkPost", "sparkpost"),
    **_of("smtp2go", "NotifySMTP2Go", "smtp2go"),
    **_of("office365", "NotifyOffice365", "azure", "o365"),
}


def service_of(url: str) -> AlertService:
    """The service that a URL is of; more than its scheme is not looked at.

    Raises:
        InvalidInput: there is none.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or not url.isprintable():
        raise InvalidInput("The URL of the channel is no URL", hint=_HINT)
    if scheme.lower() not in SERVICES:
        raise InvalidInput(f"Alerts can't go to {scheme[:32]}://", hint=_HINT)
    return SERVICES[scheme.lower()]


def redacted(url: str) -> str:
    """A URL as it may be shown: its scheme, and its server where it names one; all else may be a secret."""
    scheme = url.partition("://")[0].lower()
    service = SERVICES.get(scheme)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if service is None or not service.has_host or not host:
        return f"{scheme}://***"
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}{f':{port}' if port else ''}/***"
