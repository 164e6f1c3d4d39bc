"""What was chosen and typed to begin a restore with, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import ValidationError

from hhh.core.errors import InvalidInput
from hhh.schemas.restore import RestoreRequest, RestoreResource
from hhh.services.whereabouts import Whereabouts
from hhh.web.forms import Fields

_MODES = {"new", "replace", "tables"}


@dataclass(frozen=True, slots=True)
class RestoreForm:
    """The fields of the page for a new restore."""

    target: str
    backup_id: str = ""
    mode: str = "new"
    #: On whose server, or in whose folder.
    destination_target: str = ""
    new_name: str = ""
    tables_name: str = ""
    #: What the page proposed for both names.
    proposed: str = ""
    #: One a line.
    tables: str = ""
    #: Those of the list that were ticked.
    ticked: Sequence[str] = ()
    #: What is wrong with an input, by its name.
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Fields) -> RestoreForm:
        """What was sent."""
        form = cls(
            target=fields.text("target"),
            backup_id=fields.text("backup_id"),
            mode=fields.text("mode"),
            destination_target=fields.text("destination_target"),
            new_name=fields.text("new_name"),
            tables_name=fields.text("tables_name"),
            proposed=fields.text("proposed"),
            tables=fields.get("tables", ""),
            ticked=fields.all("table"),
        )
        return replace(form, errors=form._wrong())

    @property
    def named_tables(self) -> list[str]:
        """All that was ticked and typed, each once."""
        typed = [line.strip().removesuffix(",") for line in self.tables.splitlines()]
        return [*dict.fromkeys(name for name in (*self.ticked, *typed) if name)]

    def wrong(self, name: str) -> str:
        """What is wrong with an input; empty if nothing is."""
        return self.errors.get(name, "")

    def request(self, where: Whereabouts, now: datetime) -> RestoreRequest:
        """The dry run that it asks for.

        Args:
            where: the target whose server it goes to is.
            now: what a name is made of that was left open.

        Raises:
            InvalidInput: it can't be asked for like this.
        """
        name = {"new": self.new_name, "tables": self.tables_name}.get(self.mode)
        if name is not None and name in ("", self.proposed):
            # What was proposed is beside the backup's own target; on another server it is to be called after that one.
            name = where.free_name(now) if where.target != self.target or not name else name
        try:
            return RestoreRequest.model_validate(
                {
                    "backup_id": self.backup_id,
                    "mode": self.mode,
                    "destination": name,
                    "target": where.target,
                    "tables": self.named_tables if self.mode == "tables" else [],
                    "dry_run": True,
                }
            )
        except ValidationError:
            raise InvalidInput("That can't be asked for", hint="choose where the restore goes") from None

    def _wrong(self) -> dict[str, str]:
        wrong = {}
        if not self.backup_id:
            wrong["backup_id"] = "Choose a recovery point."
        if self.mode not in _MODES:
            wrong["mode"] = "Choose where it goes."
        if not self.destination_target:
            wrong["destination_target"] = "Choose on whose server."
        if self.mode == "tables" and not self.named_tables:
            wrong["tables"] = "Name at least one table."
        return wrong


def order_of(
    planned: RestoreResource, *, dry_run: bool, acknowledge: Sequence[str], confirm: str | None = None
) -> RestoreRequest:
    """The same restore once more, as the service's own record has it.

    Args:
        planned: what was asked for.
        dry_run: whether it is only to be checked again.
        acknowledge: names of checks to go on in spite of.
        confirm: the name that was typed, of one that replaces.

    Raises:
        InvalidInput: it is an undo, or its backup is not known.
    """
    if planned.backup_id is None or planned.undo_of is not None:
        raise InvalidInput("An undo is not asked for like this", hint="undo it on the page of the restore")
    return RestoreRequest(
        backup_id=planned.backup_id,
        mode=planned.mode,
        destination=None if planned.mode == "replace" else planned.destination,
        target=planned.destination_target,
        tables=planned.tables,
        confirm=confirm,
        dry_run=dry_run,
        acknowledge=[*acknowledge],
    )
