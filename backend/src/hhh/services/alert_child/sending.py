"""Sends messages to one receiver, one after the other."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import resource
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO
from urllib.parse import quote, unquote

from hhh.core.addresses import address_in, is_local
from hhh.core.errors import InvalidInput
from hhh.core.text import harmless
from hhh.services.alert_services import redacted, service_of

#: A receiver that takes so long to fail is down: the rest is for later.
_PATIENCE_SECONDS = 5.0
#: After so many seconds the rest is for later as well, since nobody else sends to the receiver meanwhile.
_LONGEST_SECONDS = 60.0
#: Bytes: several times what the largest plugin takes.
_MOST_MEMORY = 256 << 20
#: Shorter parts of a URL are no secrets, and stand in any text.
_SHORTEST_SECRET = 4
_LONGEST_ERROR = 500
_BETWEEN = re.compile(r"[/:@?&=,;\s]+")
#: Of the options in a URL.
_NAMES = re.compile(r"[?&]([\w.+-]+)=")
#: What calls people, or hides where a link leads. An invisible joiner is put after it; names of mailboxes stay.
_CALLS = re.compile(r"(?<!\w)@|<(?=[!@#/\w])|](?=\()")
_JOINER = "\u2060"
#: What Apprise logs of a failure, for whoever debugs it: what the library below it said.
_CAUSE = "Socket Exception: "
#: What plugins log of each receiver that has taken a message.
_TAKEN = "Sent "


class Said(logging.Handler):
    """What Apprise logs: it answers but whether it could, and why not stands there."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._lines: list[str] = []
        #: Whether somebody has taken the message: a URL may name several.
        self.reached_some = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps what tells of a failure."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING or text.startswith(_CAUSE):
            self._lines.append(text.removeprefix(_CAUSE).strip())
        self.reached_some |= text.startswith(_TAKEN)

    def taken(self) -> str:
        """What was said since this was asked last."""
        said, self._lines = " ".join(self._lines), []
        return said


def main() -> None:
    """Answers the one request."""
    # A receiver that answers without an end must not take the memory that a backup needs.
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    request, said, answers = json.loads(sys.stdin.readline()), Said(), _own_stdout()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [said], False
    logger.setLevel(logging.DEBUG)
    if request["refuse_local"]:
        refuse_local_addresses()
    refuse_lost_messages()
    clean = cleaner(request["url"])
    notify, refused = _receiver(request["url"], said)
    _answer(answers, {"refused": clean(refused) if refused is not None else None})
    if notify is None:
        return
    is_chat = service_of(request["url"]).is_chat
    started = time.monotonic()
    for message in request["messages"]:
        began, said.reached_some = time.monotonic(), False
        error = _sent(notify, _calling_nobody(message) if is_chat else message, said)
        told = clean(error) if error is not None else None
        _answer(answers, {"id": message["id"], "error": told, "reached_some": said.reached_some})
        is_down = error is not None and time.monotonic() - began > _PATIENCE_SECONDS
        if is_down or time.monotonic() - started > _LONGEST_SECONDS:
            return


def _own_stdout() -> TextIO:
    """Where answers go, alone: what a plugin or a library prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def refuse_local_addresses() -> None:
    """Has no connection of this process lead to this machine or its link, whoever makes it and however it is named."""
    look_up = socket.getaddrinfo

    def checked(host: Any, *arguments: Any, **options: Any) -> Any:
        found = look_up(host, *arguments, **options)
        for each in found:
            if is_local(address_in(str(each[4][0]))):
                raise OSError("HHH_REFUSE_LOCAL_ADDRESSES is set, and that is an address of this machine or its link")
        return found

    socket.getaddrinfo = checked


def refuse_lost_messages() -> None:
    """Has no message count as taken by a page that a redirection leads to, such as a sign-in: it is not sent there."""
    import requests
    from requests.sessions import SessionRedirectMixin

    rebuild = SessionRedirectMixin.rebuild_method

    def rebuilt(session: SessionRedirectMixin, request: requests.PreparedRequest, response: requests.Response) -> None:
        method = request.method
        rebuild(session, request, response)
        # 303 says that it was taken, and where to look.
        if request.method != method and response.status_code != requests.codes.see_other:
            raise requests.TooManyRedirects(f"It answers {response.status_code}: a message is not taken there")

    # There is no setting for it.
    SessionRedirectMixin.rebuild_method = rebuilt  # type: ignore[assignment, method-assign]


def _receiver(url: str, said: Said) -> tuple[Any, str | None]:
    """What sends to a URL, or why there is none."""
    try:
        service = service_of(url)
        plugin = getattr(importlib.import_module(f"apprise.plugins.{service.module}"), service.plugin)
        _read_no_files()
        parts = plugin.parse_url(url)
        # What is too long would be refused by most services, each hour anew.
        return (
            (plugin(**{"overflow": "truncate"} | parts), None)
            if parts
            else (None, said.taken() or "something is missing in it")
        )
    except InvalidInput as error:
        return None, error.message
    except Exception as error:  # noqa: BLE001  each plugin has its own
        return None, said.taken() or str(error) or type(error).__name__


def _read_no_files() -> None:
    """Has no option of a URL (``?template=``, ``?pgppub=``) send a file of this machine, or what an address answers."""
    from apprise.apprise_attachment import AppriseAttachment

    def add(*_arguments: Any, **_options: Any) -> bool:
        raise InvalidInput("An option of it names a file or an address to read from, which no channel may")

    AppriseAttachment.add = add  # type: ignore[method-assign]  # there is no setting for it


def _calling_nobody(message: Mapping[str, str]) -> Mapping[str, str]:
    """A message as a chat may have it: what a database or a tool said calls nobody there, and hides no link."""
    shown = {part: _CALLS.sub(rf"\g<0>{_JOINER}", message[part]) for part in ("title", "body")}
    return {**message, **shown}


def _sent(receiver: Any, message: Mapping[str, str], said: Said) -> str | None:
    """Why a message was not taken."""
    from apprise.common import NotifyFormat, NotifyType

    try:
        taken = receiver.notify(
            title=message["title"],
            body=message["body"],
            notify_type=NotifyType(message["type"]),
            body_format=NotifyFormat.TEXT,
        )
    except Exception as error:  # noqa: BLE001  a plugin that raises has failed as well
        return f"{type(error).__name__}: {error}"
    told = said.taken()
    return None if taken else told or "it was not taken, and nobody said why"


def cleaner(url: str) -> Callable[[str], str]:
    """What takes every part of a URL out of a text that may not be shown."""
    shown, words = redacted(url), {*_NAMES.findall(url)}
    pieces = {piece for text in (url, unquote(url)) for piece in _BETWEEN.split(text)} - words
    # As it was typed, as it is meant, and as whoever sends it may write it.
    written = {form for each in pieces for form in (each, unquote(each), quote(unquote(each), safe=""))}
    secrets = sorted((each for each in written if len(each) >= _SHORTEST_SECRET and each not in shown), key=len)
    secret = re.compile("|".join(re.escape(each) for each in reversed(secrets)) or r"(?!)", re.IGNORECASE)

    def cleaned(text: str) -> str:
        text = secret.sub("***", text)
        # It may be whatever a receiver has sent, and goes into a database.
        return harmless(" ".join(text.split()).encode(errors="replace").decode())[:_LONGEST_ERROR]

    return cleaned


def _answer(answers: TextIO, told: Mapping[str, object]) -> None:
    answers.write(json.dumps(told) + "\n")
    answers.flush()
