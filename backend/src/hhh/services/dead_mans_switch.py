"""The dead man's switch: a URL that is called while all is well, so that somebody elsewhere notices the silence."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException

import structlog

from hhh.core.logging import mask

_TIMEOUT = 10.0

log = structlog.get_logger(__name__)


def call(url: str) -> bool:
    """Calls it; whether somebody was there. What goes wrong is logged, without the URL, which is a secret."""
    request = urllib.request.Request(url, headers={"User-Agent": "hhh-backup"})  # noqa: S310  http or https, by setting
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        with error:
            log.warning("heartbeat_refused", status=error.code)
    except (OSError, HTTPException, ValueError) as error:
        log.warning("heartbeat_failed", error=mask(str(getattr(error, "reason", error))))
    return False
