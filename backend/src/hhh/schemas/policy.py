"""How a target is backed up: where to, how often it is tried, and what is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hhh.schemas.base import ApiModel
from hhh.schemas.retention import Retention
from hhh.schemas.verification import Level

Fingerprint = Literal["off", "sampled", "full"]
_MOST_STORES = 16
_DAY_SECONDS = 86_400
_MOST_ASSERTIONS = 100
_LONGEST_ASSERTION = 10_000
_MOST_CHECKS = 20


def _statement(text: str) -> str:
    """Without what surrounds it; nobody parses it before it is asked."""
    bare = text.strip().rstrip("; \t\r\n")
    if not bare:
        raise ValueError("an assertion is empty")
    if "\0" in bare:
        raise ValueError("an assertion has a NUL, which no database takes")
    return bare


#: A query of the operator, without the semicolon at its end.
Assertion = Annotated[str, Field(max_length=_LONGEST_ASSERTION), AfterValidator(_statement)]


class ProofFields(ApiModel):
    """What is demanded of the backups of a target, and how they are proven."""

    verify_after_backup: Level | None = Field(
        default=None, description="The level at which each backup is verified once it is stored; null: by request only."
    )
    fingerprint: Fingerprint = Field(
        default="off",
        description="Fingerprints of the rows of each table, in the dump's snapshot; `full` reads all that the dump "
        "reads a second time, `sampled` looks at some rows of each.",
    )
    assertions: Annotated[list[Assertion], Field(max_length=_MOST_ASSERTIONS)] = Field(
        default=[], description="Queries that must return true in what was restored; each one statement."
    )
    drill_target: Annotated[str, Field(max_length=63)] | None = Field(
        default=None,
        description="A registered PostgreSQL target on whose server drills make a database of their own; null: on a "
        "throw-away server on the worker's machine.",
    )
    drill_acknowledge: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=_MOST_CHECKS)] = Field(
        default=[],
        description="Names of checks that drills go on in spite of, as restores do: `superuser_objects` lets the "
        "superuser of the throw-away server make what only one may.",
    )
    proven_within_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        default=None, description="So old the newest proven backup may be; null: none is demanded."
    )
    backed_up_within_hours: Annotated[int, Field(ge=1, le=87_600)] | None = Field(
        default=None, description="So old the newest good backup may be; null: what its schedules say."
    )


class PolicyFields(ProofFields):
    """The policy of a target. In an update of parts, what is left out stays as it is."""

    storages: Annotated[list[str], Field(max_length=_MOST_STORES)] = Field(
        default=[], description="Names of stores, all written at once; empty is the store `default` alone."
    )
    minimum_copies: Annotated[int, Field(ge=1, le=_MOST_STORES)] | None = Field(
        default=None, description="In how many stores a backup must be to count; null: in all of them."
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        default=2, description="How often a scheduled backup that failed, and may pass, is tried again."
    )
    time_limit_seconds: Annotated[int, Field(ge=1, le=30 * _DAY_SECONDS)] | None = Field(
        default=None, description="After so long a backup is ended; null: never."
    )
    retention: Retention | None = Field(default=None, description="What is kept; null: everything.")


class PolicyResource(ProofFields):
    """The policy of a target, defaults included."""

    storages: list[str]
    minimum_copies: int | None
    retries: int
    time_limit_seconds: int | None
    retention: Retention | None
