"""A process of an older version than its installation is by now: it takes nothing more, and ends."""

from __future__ import annotations

import os
import signal

import structlog

from hhh.core.version import PRODUCT_VERSION

log = structlog.get_logger(__name__)


def stop_this_process(installation: str) -> None:
    """Has this process end as if an operator had asked it to: what runs may end, or goes on elsewhere.

    Args:
        installation: the newer version.
    """
    log.error(
        "superseded",
        version=PRODUCT_VERSION,
        installation=installation,
        hint=f"another machine has brought the installation to {installation}: install that here, and start again",
    )
    os.kill(os.getpid(), signal.SIGTERM)
