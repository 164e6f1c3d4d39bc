"""What events are about, as people call it: the ids in them are those of rows, which may be gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from hhh.core.actor import ActorKind
from hhh.core.database import Database
from hhh.repositories import audit as rows
from hhh.schemas.audit import AuditEventResource
from hhh.services.cursors import is_id

#: Members of a detail that are ids of other rows.
_IDS = ("backup", "undo_of")
_NAMELESS: Mapping[str, str] = {ActorKind.SERVICE: "the service", ActorKind.NOBODY: "nobody signed in"}


class AuditNames:
    """Finds names for ids: as they are now, and of what is gone as the log has noted them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, events: Sequence[AuditEventResource]) -> Mapping[str, str]:
        """By id: the files of backups, and when which database a schedule is for; nothing for ids of anything else."""
        ids = {each for event in events for each in _ids(event) if is_id(each)}
        if not ids:
            return {}
        with self._database.snapshot() as session:
            files, plans = rows.files_of_backups(session, ids), rows.plans_of_schedules(session, ids)
            gone = rows.told_of(session, ids - files.keys() - plans.keys())
        noted = {subject: name for subject, target, detail in gone if (name := _noted(target, detail))}
        return noted | files | {each: _plan(*plan) for each, plan in plans.items()}


def who(event: AuditEventResource, names: Mapping[str, str]) -> str:
    """Who did it, without the token that it was done with."""
    if event.actor_kind == ActorKind.SCHEDULE:
        return f"the schedule {names.get(event.actor, event.actor)}"
    return event.actor or _NAMELESS.get(event.actor_kind, event.actor_kind)


def on(event: AuditEventResource, names: Mapping[str, str]) -> str:
    """What it was done on."""
    return names.get(event.subject, event.subject)


def details(event: AuditEventResource, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What else is known: each with its value in words."""
    for key, value in event.detail.items():
        if value is not None and value != on(event, names):
            yield key.replace("_", " "), names.get(str(value), in_words(value)) if key in _IDS else in_words(value)


def in_words(value: object) -> str:
    """A value of a detail."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(map(in_words, value)) or "none"
        case dict():
            return ", ".join(f"{key}: {in_words(each)}" for key, each in value.items()) or "none"
        case None:
            return "none"
    return str(value)


def _ids(event: AuditEventResource) -> Iterator[str]:
    yield event.subject
    if event.actor_kind == ActorKind.SCHEDULE:
        yield event.actor
    yield from (str(event.detail[key]) for key in _IDS if key in event.detail)


def _noted(target: str | None, detail: str) -> str:
    """The name of what an event is about, if it has noted one."""
    try:
        told = json.loads(detail)
    except ValueError:  # nobody but who changes the log writes that
        return ""
    if not isinstance(told, dict):
        return ""
    return str(told.get("file") or (_plan(str(told["cron"]), str(target)) if "cron" in told else ""))


def _plan(cron: str, target: str) -> str:
    return f"{cron} of {target}"
