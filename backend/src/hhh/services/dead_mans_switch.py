"""The dead man's switch: a URL that is called while all is well, so that somebody elsewhere notices the silence."""

from __future__ import annotations

import contextlib
import json
import select
import sys

import structlog

from hhh.core.errors import HHHError
from hhh.core.logging import mask
from hhh.core.process import running
from hhh.services.alert_sending import environment

#: Seconds for all of it, however slowly it answers: the next call is due in a minute.
_PATIENCE = 20.0
_NAME = "The call of the dead man's switch"
_PROGRAM = "hhh.services.dead_mans_call"
_REFUSED = 400

log = structlog.get_logger(__name__)


def call(url: str, *, patience: float = _PATIENCE) -> bool:
    """Calls it; whether somebody was there. What goes wrong is logged, without the URL, which is a secret.

    Args:
        url: of the switch.
        patience: seconds; then it is given up.
    """
    try:
        told = _called(url, patience)
    except HHHError as error:
        told = {"error": error.message}
    status = told.get("status")
    if isinstance(status, int) and status < _REFUSED:
        return True
    if status is not None:
        log.warning("dead_mans_switch_refused", status=status)
    else:
        log.warning("dead_mans_switch_failed", error=mask(str(told.get("error"))))
    return False


def _called(url: str, patience: float) -> dict[str, object]:
    with running([sys.executable, "-I", "-m", _PROGRAM], environment=environment(), stdin=True, name=_NAME) as child:
        with contextlib.suppress(BrokenPipeError):  # it has ended already: `finish` finds out why
            child.stdin.write(url.encode() + b"\n")
        poll = select.poll()
        poll.register(child.stdout.fileno(), select.POLLIN)
        if not poll.poll(patience * 1000):
            return {"error": f"no answer within {patience:g} seconds"}
        answer = child.stdout.readall() or b""
        child.finish()
        told: dict[str, object] = json.loads(answer)
        return told
