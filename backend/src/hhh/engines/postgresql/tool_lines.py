"""What pg_restore tells, line by line, put together to errors and warnings.

Its jobs are processes that share one standard error, and each writes a message in pieces: ``pg_restore:``, a space,
``error:`` with a space, and the text with what belongs to it. So pieces of two messages may stand in one line, before
the text of the one; the other text then begins a later line, with what is left of its own pieces. What can't be told
apart is told as an error of its own, so that none is lost.
"""

from __future__ import annotations

import re

_MOST_ERRORS = 200
_MOST_LINES_OF_AN_ERROR = 20
_PIECES = re.compile(r"(?:pg_restore:(?: \[[^]]*\])?| |(?:error|warning|detail|hint): )+")
_LEVEL = re.compile(r"error|warning|detail|hint")
#: At which step it was, or of which entry, when the error came that is told next.
_STEP = re.compile(r"while [A-Z]+|from (TOC entry .*)")
#: With a number that is no use: an error of a job is counted twice.
_SUMMARY = "errors ignored on restore"
#: Their commands may hold passwords.
_SECRETIVE = re.compile(r"USER MAPPING|SUBSCRIPTION|\bSERVER\b|PASSWORD", re.IGNORECASE)


class ToolLines:
    """The lines of one pg_restore: an error, where it comes from, its details and its command."""

    def __init__(self) -> None:
        self._errors: list[str] = []
        self.warnings: list[str] = []
        #: How many more lines may belong to the last error.
        self._left = 0
        self._about = ""
        #: How many messages have begun in a line whose text was another's.
        self._owed = 0

    @property
    def errors(self) -> tuple[str, ...]:
        """Each with what belongs to it, of several lines; none where not one could be read."""
        if self._errors and self._owed:
            return (*self._errors, "There are more errors; pg_restore's jobs wrote them into each other's lines")
        return tuple(self._errors)

    def add(self, line: str) -> None:
        """The next line, without its end."""
        pieces = found[0] if (found := _PIECES.match(line)) else ""
        levels, text = _LEVEL.findall(pieces), line[len(pieces) :]
        names = pieces.count("pg_restore:")
        if names:
            self._owed += names - 1
        elif self._owed and (levels or _STEP.match(text)):
            self._owed -= 1
        else:
            self._append(line)
            return
        self._add_message("error" if "error" in levels else next(iter(levels), ""), text)

    def _add_message(self, level: str, text: str) -> None:
        if level == "error":
            self._begin(f"{text} ({self._about})" if self._about else text)
        elif level == "warning":
            self._add_warning(text)
        elif level:
            self._append(text)
        else:
            self._left = 0
            if (found := _STEP.match(text)) and found[1]:
                self._about = found[1]

    def _add_warning(self, text: str) -> None:
        self._left = 0
        if _SUMMARY not in text and len(self.warnings) < _MOST_ERRORS:
            self.warnings.append(text)

    def _begin(self, text: str) -> None:
        self._about = ""
        self._left = _MOST_LINES_OF_AN_ERROR if len(self._errors) < _MOST_ERRORS else 0
        if len(self._errors) < _MOST_ERRORS:
            self._errors.append(text)
        elif len(self._errors) == _MOST_ERRORS:
            self._errors.append("There are more errors; only the first are kept")

    def _append(self, line: str) -> None:
        if self._left and line.startswith("Command was:") and _SECRETIVE.search(line + self._errors[-1]):
            self._left = 0
        if self._left:
            self._left -= 1
            self._errors[-1] += f"\n{line}"
