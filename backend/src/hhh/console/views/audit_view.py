"""The page of the audit log: what it is narrowed to, and each event in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from hhh.console.links import link
from hhh.console.typed import said_of
from hhh.console.views.backup_list import midnight
from hhh.models import Action, Result
from hhh.schemas.audit import AuditEventResource, AuditQuery
from hhh.services import audit_names

AT_ONCE = 50
#: What was done, as people say it.
ACTIONS: Mapping[str, str] = {
    Action.SIGN_IN: "Sign-in",
    Action.SIGN_OUT: "Sign-out",
    Action.SESSION_END: "Session ended",
    Action.SECOND_FACTOR: "Second factor",
    Action.REFUSED: "Refused",
    Action.USER_CREATE: "User added",
    Action.USER_CHANGE: "User changed",
    Action.USER_REMOVE: "User removed",
    Action.TOKEN_CREATE: "Token made",
    Action.TOKEN_REVOKE: "Token revoked",
    Action.TARGET_ADD: "Database added",
    Action.TARGET_CHANGE: "Database changed",
    Action.TARGET_REMOVE: "Database removed",
    Action.STORE_ADD: "Store added",
    Action.STORE_CHANGE: "Store changed",
    Action.STORE_REMOVE: "Store removed",
    Action.SCHEDULE_ADD: "Schedule added",
    Action.SCHEDULE_CHANGE: "Schedule changed",
    Action.SCHEDULE_REMOVE: "Schedule removed",
    Action.CHANNEL_ADD: "Alert channel added",
    Action.CHANNEL_CHANGE: "Alert channel changed",
    Action.CHANNEL_REMOVE: "Alert channel removed",
    Action.BACKUP: "Backup",
    Action.BACKUP_PIN: "Backup pinned or unpinned",
    Action.BACKUP_DELETE: "Backup deleted",
    Action.BACKUP_DOWNLOAD: "Backup downloaded",
    Action.BACKUP_IMPORT: "Backup imported",
    Action.RESTORE: "Restore",
    Action.VERIFY: "Drill",
    Action.PRUNE: "Retention applied",
    Action.REPAIR: "Copies repaired",
    Action.SWEEP: "Sweep",
    Action.CANCEL: "Cancelled a job",
    Action.CATALOGUE: "Catalogue rebuilt",
    Action.KEYS: "Keys",
    Action.AUDIT_EXPORT: "Audit log exported",
}
RESULTS: Mapping[str, str] = {
    "": "Any",
    Result.ASKED: "Asked for",
    Result.DONE: "Done",
    Result.FAILED: "Failed",
    Result.CANCELLED: "Cancelled",
    Result.REFUSED: "Refused",
}
#: Where what an event is about is shown, before its id or name.
_PAGES: Mapping[str, str] = {
    Action.BACKUP: "/backups/",
    Action.BACKUP_PIN: "/backups/",
    Action.BACKUP_DOWNLOAD: "/backups/",
    Action.BACKUP_IMPORT: "/backups/",
    Action.RESTORE: "/restores/",
    Action.VERIFY: "/drills/",
    Action.TARGET_ADD: "/targets/",
    Action.TARGET_CHANGE: "/targets/",
    Action.STORE_ADD: "/stores/",
    Action.STORE_CHANGE: "/stores/",
}
_FIELDS = ("actor", "action", "subject", "result", "from", "to")
#: By the name that the schema has, the field of the form.
_FIELD_OF: Mapping[str, str] = {"since": "from", "until": "to"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for."""

    #: The fields, as they were typed.
    typed: Mapping[str, str]
    #: By field, what is wrong with it.
    errors: Mapping[str, str]
    #: None where something is wrong.
    query: AuditQuery | None

    @property
    def narrowed(self) -> bool:
        """Whether something is left out."""
        return any(self.typed.values())

    def wrong(self, name: str) -> str:
        """What is wrong with a field; empty if nothing is."""
        return self.errors.get(name, "")

    def link(self, cursor: str | None = None) -> str:
        """The same page, from that cursor on."""
        return link("/audit", {**self.typed, "cursor": cursor or ""})

    @property
    def export(self) -> str:
        """The same events as a file."""
        return link("/audit/export", self.typed)

    @property
    def api_export(self) -> str:
        """The same, of the API."""
        if self.query is None:
            return "/api/v1/audit/export"
        told = self.query.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_none=True)
        return link("/api/v1/audit/export", told)


@dataclass(frozen=True, slots=True)
class Row:
    """One event in words."""

    event: AuditEventResource
    who: str
    #: Whose token it was.
    whose: str
    what: str
    #: On what, by its name where it has one.
    subject: str
    result: str
    #: Of what it was done on; empty where there is none.
    page: str
    #: What else is known, line by line.
    details: Sequence[tuple[str, str]]


def read(params: Mapping[str, str]) -> Asked:
    """What the query of the page asks for; nothing is raised for what can't be used."""
    typed = {name: params.get(name, "").strip() for name in _FIELDS}
    errors: dict[str, str] = {}
    asked = {
        "actor": typed["actor"] or None,
        "action": typed["action"] or None,
        "subject": typed["subject"] or None,
        "result": typed["result"] or None,
        "since": midnight("from", typed, errors),
        "until": midnight("to", typed, errors, days=1),
        "cursor": params.get("cursor") or None,
        "limit": AT_ONCE,
    }
    query: AuditQuery | None = None
    try:
        query = AuditQuery.model_validate(asked)
    except ValidationError as error:
        errors |= {_FIELD_OF.get(name, name): said for name, said in said_of(error).items()}
    return Asked(typed, errors, None if errors else query)


def row(event: AuditEventResource, names: Mapping[str, str]) -> Row:
    """An event as the list tells it, with the names of what is told by its id."""
    name, subject = audit_names.who(event, names), audit_names.on(event, names)
    place = _PAGES.get(event.action)
    return Row(
        event=event,
        who=f"the token {event.token}" if event.token else name,
        whose=name if event.token else "",
        what=ACTIONS.get(event.action, event.action),
        subject=subject,
        result=RESULTS.get(event.result, event.result),
        page=f"{place}{event.subject}" if place else "",
        details=[
            *audit_names.details(event, names),
            *([("id", event.subject)] if subject != event.subject else []),
        ],
    )
