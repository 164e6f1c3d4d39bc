"""What the page after a form tells of what was done; only these names are taken from a URL."""

from __future__ import annotations

from collections.abc import Mapping

DONE: Mapping[str, str] = {
    "signed-out": "You are signed out.",
    "backup-queued": "The backup was asked for. This page follows it.",
    "cancelling": "It was asked to stop, and does so within seconds.",
    "target-added": "The database is registered. Take its first backup now, and set up a schedule.",
    "target-changed": "The database is changed.",
    "repair-queued": "The missing copies are being made again. The page of each backup tells which are there.",
    "verify-queued": "The verification was asked for. This page follows it.",
    "store-added": "The store is registered. Name it for the databases whose backups are to go there.",
    "store-changed": "The store is changed.",
}
