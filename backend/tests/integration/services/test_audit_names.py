"""The audit log has ids; people are told names, also of what is gone."""

import uuid

from sqlalchemy import delete

from hhh.core.actor import Actor, ActorKind, acting
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import Action, BackupLog, Result
from hhh.schemas.audit import AuditQuery
from hhh.services import audit, audit_names
from hhh.services.audit_log import AuditLog
from hhh.services.audit_names import AuditNames
from hhh.services.installation import Identity
from support.stored_rows import stored_backup_row

_SCHEDULE = str(uuid.uuid4())


def told(database: Database, settings: Settings) -> list[tuple[str, str, dict[str, str]]]:
    """Of each event, the newest first: who did it, on what, and what else is known."""
    found = AuditLog(settings, database, Identity(settings, database)).page(AuditQuery()).items
    names = AuditNames(database).of(found)
    return [
        (audit_names.who(each, names), audit_names.on(each, names), dict(audit_names.details(each, names)))
        for each in found
    ]


def test_a_backup_is_told_by_its_file_while_it_is_there_and_afterwards_as_the_log_has_noted_it(
    own_database: Database, settings: Settings
) -> None:
    backup = stored_backup_row(own_database)
    with own_database.snapshot() as session:
        file = session.get_one(BackupLog, backup).backup_file
    audit.record_alone(own_database, Action.VERIFY, str(uuid.uuid4()), detail={"backup": backup, "level": "proven"})
    audit.record_alone(own_database, Action.BACKUP, backup, result=Result.ASKED)
    audit.record_alone(own_database, Action.BACKUP, backup, detail={"file": file, "bytes": 12345678})
    before = told(own_database, settings)

    with own_database.transaction() as session:
        session.execute(delete(BackupLog).where(BackupLog.id == backup))

    assert told(own_database, settings) == before
    done, asked, verified = before
    assert done == ("the service", file, {"bytes": "12,345,678"})
    assert asked[1] == file
    assert verified[2] == {"backup": file, "level": "proven"}


def test_a_schedule_is_told_by_its_line_and_its_target(own_database: Database, settings: Settings) -> None:
    audit.record_alone(own_database, Action.SCHEDULE_ADD, _SCHEDULE, target="shop", detail={"cron": "@daily"})
    with acting(Actor(ActorKind.SCHEDULE, _SCHEDULE)):
        audit.record_alone(own_database, Action.BACKUP, str(uuid.uuid4()), target="shop")
    with acting(Actor(ActorKind.SCHEDULE, "of before the log")):
        audit.record_alone(own_database, Action.PRUNE, str(uuid.uuid4()))

    unknown, ran, added = told(own_database, settings)

    assert added[1] == "@daily of shop"
    assert ran[0] == "the schedule @daily of shop"
    assert unknown[0] == "the schedule of before the log"


def test_what_somebody_else_wrote_into_the_log_has_no_name(own_database: Database, settings: Settings) -> None:
    subject = str(uuid.uuid4())
    audit.record_alone(own_database, Action.BACKUP, subject, detail={"file": {"a": 1}, "list": ["b", None, True]})

    assert told(own_database, settings)[0][2]["list"] == "b, none, yes"
