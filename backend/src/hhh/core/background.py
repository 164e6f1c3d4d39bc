"""What may never end, done where nobody has to wait for its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")


def begin(do: Callable[[], _Result], *, name: str) -> Future[_Result]:
    """Does something in a thread of its own, which nothing waits for when the process ends.

    A disk in the network that is gone, a server that does not answer or sends a byte now and then keep whoever asks
    them, for hours: whoever wants to know no longer than that waits for the future, with a limit.

    Args:
        do: what is to be done; what it raises, the future raises.
        name: of the thread.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            result = do()
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
