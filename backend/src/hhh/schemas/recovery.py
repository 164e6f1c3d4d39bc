"""The commands that recover one backup by hand."""

from __future__ import annotations

from pydantic import Field

from hhh.schemas.base import ApiModel


class Step(ApiModel):
    """Some lines for a shell, and what they are for."""

    title: str
    commands: str = Field(description="For bash; lines, each ending in a newline.")


class FetchingResource(ApiModel):
    """How the objects of one copy come into the folder that the shell is in."""

    storage: str
    commands: str | None = Field(description="Null where the store is not known here any more.")
    note: str = Field(description="What else one needs for it, or why there are no commands.")


class RecoveryCommands(ApiModel):
    """How one backup is recovered without the service; `docs/recover-without-hhh.md` has more."""

    backup_id: str
    needs: list[str] = Field(description="Programs, in words.")
    copies: list[FetchingResource] = Field(description="One of them is enough.")
    steps: list[Step] = Field(description="After that, in their order and in the same shell.")
