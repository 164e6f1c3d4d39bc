"""Reading Server-Sent Events as a client does."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    name: str
    id: str
    data: dict[str, Any]


class Stream:
    """An open stream; each line of it is read once."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments: list[str] = []
        self.retry: str | None = None
        self._lines = response.iter_lines()

    def events(self) -> Iterator[Event]:
        """The events from here on, until the server closes the stream."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line.startswith(":"):
                self.comments.append(line)
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
                fields = {}
            else:
                self.retry = fields.get("retry", self.retry)
                fields = {}

    def next(self) -> Event:
        """The next event."""
        return next(self.events())


@contextlib.contextmanager
def following(client: httpx.Client, path: str, *, heard: str | None = None) -> Iterator[Stream]:
    """A stream of events; `heard` is the id of the last event that is known."""
    headers = {"Last-Event-ID": heard} if heard is not None else {}
    with client.stream("GET", path, headers=headers) as response:
        response.raise_for_status()
        yield Stream(response)
