"""What the page after a form tells of what was done; only these names are taken from a URL."""

from __future__ import annotations

from collections.abc import Mapping

DONE: Mapping[str, str] = {
    "signed-out": "You are signed out.",
    "backup-queued": "The backup was asked for. This page follows it.",
    "cancelling": "It was asked to stop, and does so within seconds.",
}
