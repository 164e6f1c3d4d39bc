"""The policy of a target, as options of commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from hhh.cli.output import size
from hhh.core.errors import InvalidInput
from hhh.schemas.policy import PolicyFields
from hhh.services.policies import TargetPolicy, resolved

NONE = "none"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?i?)b?", re.IGNORECASE)
_OFF = "0 takes the rule away."

Storages = Annotated[
    list[str] | None, typer.Option("--storage", help="A store that backups go to; give it once for each.")
]
MinimumCopies = Annotated[
    int | None, typer.Option(min=0, help="In how many stores a backup must be to count; 0: in all of them.")
]
Retries = Annotated[int | None, typer.Option(min=0, help="How often a scheduled backup is tried again.")]
TimeLimit = Annotated[str | None, typer.Option(help="After so long a backup is ended: 90m, 2h; none: never.")]
KeepAll = Annotated[bool, typer.Option("--keep-all", help="Keep every backup, whatever was set before.")]
KeepLast = Annotated[int | None, typer.Option(min=0, help=f"Keep the newest so many. {_OFF}")]
KeepHourly = Annotated[int | None, typer.Option(min=0, help=f"Keep the newest of each of so many hours. {_OFF}")]
KeepDaily = Annotated[int | None, typer.Option(min=0, help=f"… of so many days. {_OFF}")]
KeepWeekly = Annotated[int | None, typer.Option(min=0, help=f"… of so many weeks. {_OFF}")]
KeepMonthly = Annotated[int | None, typer.Option(min=0, help=f"… of so many months. {_OFF}")]
KeepYearly = Annotated[int | None, typer.Option(min=0, help=f"… of so many years. {_OFF}")]
MaximumAge = Annotated[str | None, typer.Option("--max-age", help="Drop what is older: 90d, 12w; none: no limit.")]
MaximumTotal = Annotated[
    str | None, typer.Option("--max-total-size", help="Drop the oldest until the rest takes no more: 50GB; none.")
]
MinimumKept = Annotated[int | None, typer.Option(min=1, help="So many good ones are kept, whatever the limits say.")]


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """What was typed; None is what was not."""

    storages: list[str] | None
    minimum_copies: int | None
    retries: int | None
    time_limit: str | None
    #: Rules that count, by their names in `hhh.schemas.retention.Retention`; 0 takes one away.
    keep: Mapping[str, int | None]
    maximum_age: str | None
    maximum_total: str | None
    minimum_kept: int | None
    keep_all: bool = False

    def fields(self, present: TargetPolicy) -> PolicyFields:
        """The policy with what was typed as set; retention is the present one with its changes.

        Raises:
            InvalidInput: something typed can't be used.
        """
        given: dict[str, Any] = {}
        if self.storages:
            given["storages"] = self.storages
        if self.minimum_copies is not None:
            given["minimum_copies"] = self.minimum_copies or None
        if self.retries is not None:
            given["retries"] = self.retries
        if self.time_limit is not None:
            given["time_limit_seconds"] = _seconds(self.time_limit, "--time-limit")
        if self.keep_all or self._rules():
            given["retention"] = self._retention(present)
        try:
            return PolicyFields.model_validate(given)
        except ValidationError as error:
            problem = error.errors()[0]
            raise InvalidInput(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None

    def _rules(self) -> dict[str, Any]:
        rules: dict[str, Any] = {name: count or None for name, count in self.keep.items() if count is not None}
        if self.maximum_age is not None:
            seconds = _seconds(self.maximum_age, "--max-age")
            rules["maximum_age_days"] = seconds / _SECONDS["d"] if seconds is not None else None
        if self.maximum_total is not None:
            rules["maximum_total_bytes"] = _bytes(self.maximum_total, "--max-total-size")
        if self.minimum_kept is not None:
            rules["minimum_kept"] = self.minimum_kept
        return rules

    def _retention(self, present: TargetPolicy) -> dict[str, Any] | None:
        if self.keep_all:
            if self._rules():
                raise InvalidInput("--keep-all leaves no rule", hint="leave it out, or the other rules")
            return None
        before = present.retention.model_dump() if present.retention is not None else {}
        return {**before, **self._rules()}


def described(policy: TargetPolicy) -> list[tuple[str, str]]:
    """A policy for people."""
    stores = resolved(policy)
    copies = "all" if policy.minimum_copies is None else str(policy.minimum_copies)
    limit = "none" if policy.time_limit_seconds is None else f"{policy.time_limit_seconds} s"
    return [
        ("stores", f"{', '.join(stores)} (copies that must be: {copies})"),
        ("retries", str(policy.retries)),
        ("time limit", limit),
        ("retention", _described_retention(policy)),
    ]


def _described_retention(policy: TargetPolicy) -> str:
    if policy.retention is None:
        return "everything is kept"
    rules = policy.retention.model_dump(exclude_none=True)
    if "maximum_total_bytes" in rules:
        rules["maximum_total_bytes"] = size(rules["maximum_total_bytes"])
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in rules.items())


def _seconds(text: str, option: str) -> int | None:
    if text == NONE:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{option} is no duration", hint="e.g. 90m, 2h, 30d, or none")
    return round(float(found[1]) * _SECONDS[found[2]])


def _bytes(text: str, option: str) -> int | None:
    if text == NONE:
        return None
    found = _SIZE.fullmatch(text)
    if found is None or found[2].lower() not in _BYTES:
        raise InvalidInput(f"{option} is no size", hint="e.g. 500MB, 50GB, 1TiB, or none")
    return round(float(found[1]) * _BYTES[found[2].lower()])
