"""What a schema does not take of what was typed, as an error of the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pydantic import ValidationError

from hhh.core.errors import InvalidInput


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Maps what Pydantic raises in the block.

    Raises:
        InvalidInput: instead; of the first field that is wrong.
    """
    try:
        yield
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise InvalidInput(f"{where}: {problem['msg']}" if where else problem["msg"]) from None
