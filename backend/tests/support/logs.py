"""What a production service logs, in memory."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from hhh.core.logging import configure


@dataclass(frozen=True)
class Log:
    """Lines of JSON, as they are written."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    @property
    def text(self) -> str:
        """All of it."""
        return self.stream.getvalue()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """All lines, or those of one event."""
        parsed = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in parsed if event in {None, line["event"]}]


@pytest.fixture
def log() -> Iterator[Log]:
    """Logs as in production into memory; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log = Log()
    configure("production", stream=log.stream)
    yield log
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers = handlers
    root.setLevel(level)
