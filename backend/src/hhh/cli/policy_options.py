"""The policy of a target, as options of commands."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer

from hhh.cli.amounts import bytes_of, seconds_of
from hhh.cli.output import size
from hhh.cli.proof_options import ProofOptions
from hhh.cli.proof_options import described as described_demands
from hhh.cli.refused import refused
from hhh.core.errors import InvalidInput
from hhh.schemas.policy import PolicyFields
from hhh.schemas.retention import Retention
from hhh.services.policies import TargetPolicy, resolved

_DAY_SECONDS = 86_400
_OFF = "0 takes the rule away."


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionOptions:
    """Rules as they were typed: each field is an option, and None is what was not typed."""

    keep_all: Annotated[bool, typer.Option("--keep-all", help="Keep every backup, whatever was set before.")] = False
    keep_last: Annotated[int | None, typer.Option(min=0, help=f"Keep the newest so many. {_OFF}")] = None
    keep_hourly: Annotated[
        int | None, typer.Option(min=0, help=f"Keep the newest of each of so many hours. {_OFF}")
    ] = None
    keep_daily: Annotated[int | None, typer.Option(min=0, help=f"… of so many days. {_OFF}")] = None
    keep_weekly: Annotated[int | None, typer.Option(min=0, help=f"… of so many weeks. {_OFF}")] = None
    keep_monthly: Annotated[int | None, typer.Option(min=0, help=f"… of so many months. {_OFF}")] = None
    keep_yearly: Annotated[int | None, typer.Option(min=0, help=f"… of so many years. {_OFF}")] = None
    max_age: Annotated[str | None, typer.Option(help="Drop what is older: 90d, 12w; none: no limit.")] = None
    max_total_size: Annotated[
        str | None, typer.Option(help="Drop the oldest until the rest takes no more: 50GB; none.")
    ] = None
    minimum_kept: Annotated[
        int | None, typer.Option(min=1, help="So many good ones are kept, whatever the limits say.")
    ] = None

    def retention(self, present: TargetPolicy) -> Retention | None:
        """The present rules with the changes; None: everything is kept.

        Raises:
            InvalidInput: something typed can't be used.
        """
        rules = self._rules()
        if self.keep_all:
            if rules:
                raise InvalidInput("--keep-all leaves no rule", hint="leave it out, or the other rules")
            return None
        before = present.retention.model_dump() if present.retention is not None else {}
        with refused():
            return Retention.model_validate({**before, **rules})

    @property
    def has_rules(self) -> bool:
        """Whether any was typed."""
        return self.keep_all or bool(self._rules())

    def _rules(self) -> dict[str, Any]:
        """By their names in `Retention`; None takes one away."""
        counts = {
            "keep_last": self.keep_last,
            "hourly": self.keep_hourly,
            "daily": self.keep_daily,
            "weekly": self.keep_weekly,
            "monthly": self.keep_monthly,
            "yearly": self.keep_yearly,
        }
        rules: dict[str, Any] = {name: count or None for name, count in counts.items() if count is not None}
        if self.max_age is not None:
            seconds = seconds_of(self.max_age, "--max-age")
            rules["maximum_age_days"] = seconds / _DAY_SECONDS if seconds is not None else None
        if self.max_total_size is not None:
            rules["maximum_total_bytes"] = bytes_of(self.max_total_size, "--max-total-size")
        if self.minimum_kept is not None:
            rules["minimum_kept"] = self.minimum_kept
        return rules


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions(RetentionOptions, ProofOptions):
    """A policy as it was typed."""

    storage: Annotated[list[str] | None, typer.Option(help="A store that backups go to; give it once for each.")] = None
    minimum_copies: Annotated[
        int | None, typer.Option(min=0, help="In how many stores a backup must be to count; 0: in all of them.")
    ] = None
    retries: Annotated[int | None, typer.Option(min=0, help="How often a scheduled backup is tried again.")] = None
    time_limit: Annotated[str | None, typer.Option(help="After so long a backup is ended: 90m, 2h; none: never.")] = (
        None
    )

    def fields(self, present: TargetPolicy) -> PolicyFields:
        """The policy with what was typed as set; retention is the present one with its changes.

        Raises:
            InvalidInput: something typed can't be used.
        """
        given = self.demands()
        if self.storage:
            given["storages"] = self.storage
        if self.minimum_copies is not None:
            given["minimum_copies"] = self.minimum_copies or None
        if self.retries is not None:
            given["retries"] = self.retries
        if self.time_limit is not None:
            given["time_limit_seconds"] = seconds_of(self.time_limit, "--time-limit")
        if self.has_rules:
            given["retention"] = self.retention(present)
        with refused():
            return PolicyFields.model_validate(given)


def taking(options: type[RetentionOptions]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Has a command take the fields of `options` as options of its own; it gets them as its parameter ``typed``.

    Typer knows no groups of options: without this each command would list them all again.
    """
    listed = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for hints in [get_type_hints(options, include_extras=True)]
        for each in dataclasses.fields(options)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        kept = [each for each in own.parameters.values() if each.name != "typed"]
        # `--json` stays the last.
        parameters = [*kept[:-1], *listed, kept[-1]]

        @functools.wraps(command)
        def taken(**given: Any) -> None:
            typed = options(**{each.name: given.pop(each.name) for each in listed})
            command(**given, typed=typed)

        taken.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        taken.__annotations__ = {each.name: each.annotation for each in parameters}
        return taken

    return decorate


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
        *described_demands(policy.proof),
    ]


def _described_retention(policy: TargetPolicy) -> str:
    if policy.retention is None:
        return "everything is kept"
    rules = policy.retention.model_dump(exclude_none=True)
    if "maximum_total_bytes" in rules:
        rules["maximum_total_bytes"] = size(rules["maximum_total_bytes"])
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in rules.items())
