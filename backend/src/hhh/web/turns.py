"""Turns for what costs memory and a core on purpose: a flood of sign-ins must not take the service down."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Depends


async def _turn() -> AsyncIterator[None]:
    """Waits on the event loop, not in one of the threads that all other routes share."""
    yield


#: One for the API and the console: who floods both gets no more of them.
SIGN_IN_TURN = Depends(_turn, scope="function", max_concurrency=2)
