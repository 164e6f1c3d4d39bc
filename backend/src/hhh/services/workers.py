"""Who works, and at what."""

from __future__ import annotations

from datetime import timedelta

#: How long a worker is believed without a sign of life.
LEASE = timedelta(seconds=30)
