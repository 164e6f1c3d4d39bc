"""What the page after a form tells of what was done; only these names are taken from a URL."""

from __future__ import annotations

from collections.abc import Mapping

DONE: Mapping[str, str] = {
    "signed-out": "You are signed out.",
    "account-password-set": "Your password is set, and your other sessions have ended.",
    "second-factor-removed": "The second factor is taken away: your password alone is asked for.",
    "their-sessions-ended": "All their sessions have ended.",
    "session-ended": "The session has ended.",
    "sessions-ended": "All your other sessions have ended.",
    "key-saved": "Now the line below belongs into the settings of the service.",
    "own-password-set": "Your password is set, and your sessions have ended. Sign in with the new one.",
    "password-set": "The password is set, and all their sessions have ended.",
    "role-set": "The role is changed; it counts at once.",
    "user-added": "The user is added, and can sign in.",
    "user-removed": "The user is removed, and their sessions have ended.",
    "token-revoked": "The token is revoked: it is refused from now on.",
    "backup-queued": "The backup was asked for. This page follows it.",
    "backup-pinned": "The backup is pinned: no rule removes it until it is unpinned.",
    "backup-unpinned": "The backup is no longer pinned: the rules of its database decide how long it is kept.",
    "backup-deleted": "The backup is gone from every list. Its objects are being removed from the stores.",
    "cancelling": "It was asked to stop, and does so within seconds.",
    "target-added": "The database is registered. Take its first backup now, and set up a schedule.",
    "target-changed": "The database is changed.",
    "repair-queued": "The missing copies are being made again. The page of each backup tells which are there.",
    "verify-queued": "The verification was asked for. This page follows it.",
    "store-added": "The store is registered. Name it for the databases whose backups are to go there.",
    "store-changed": "The store is changed.",
    "restore-checking": "It is being checked. Nothing is changed by that; this page follows it.",
    "restore-queued": "The restore was asked for. This page follows it.",
    "undo-queued": "The undo was asked for. This page follows it.",
    "schedule-added": "The schedule is set up.",
    "schedule-changed": "The schedule is changed, and its next run planned anew.",
    "schedule-paused": "The schedule is paused: it begins no run until it is resumed.",
    "schedule-resumed": "The schedule goes on with its next run. What it missed is not caught up.",
    "schedule-removed": "The schedule is removed. What it asked for is kept.",
    "retention-saved": "The rules are saved. They are applied after the next backup, or by pruning now.",
    "prune-queued": "Pruning was asked for. What is being removed is told below.",
    "channel-added": "The channel is set up. Test it now, to see that messages arrive.",
    "channel-changed": "The channel is changed.",
    "channel-removed": "The channel is removed. Nothing goes there any more.",
    "sweep-queued": "A sweep with repair was asked for. It stands below, and what it repaired in the service's log.",
}
#: What is told on the page of a job while it is on its way: without a script the address keeps the name to its end.
_ON_ITS_WAY = frozenset(
    {"backup-queued", "verify-queued", "restore-checking", "restore-queued", "undo-queued", "cancelling"}
)


def of(name: str, *, has_ended: bool = False) -> str | None:
    """What is told by that name; None: nothing, such as of a beginning where it has ended."""
    return None if has_ended and name in _ON_ITS_WAY else DONE.get(name)
