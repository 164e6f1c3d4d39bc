"""What findings come to: an alarm, a success, or neither."""

import pytest

from hhh.core.errors import (
    ArtifactDamaged,
    EngineError,
    HHHError,
    Lacking,
    ScratchError,
    SourceUnreadable,
    TargetUnreachable,
    ToolFailed,
    ToolMissing,
)
from hhh.engines.postgresql.proving import PostgresqlProver
from hhh.models import VerificationStatus
from hhh.schemas.restore import Difference
from hhh.schemas.verification import Asserted, CheckedCopy, Level
from hhh.services.findings import Findings
from hhh.services.proof import verdict

PROVER = PostgresqlProver()
GOOD = CheckedCopy(storage="one", status="good", size=1)
AWAY = CheckedCopy(storage="two", status="unreachable", size=1, problem="it does not answer")
MISSING = CheckedCopy(storage="two", status="missing", size=1, problem="it is gone")
SUCCESS, FAILED, INCONCLUSIVE = (
    VerificationStatus.SUCCESS,
    VerificationStatus.FAILED,
    VerificationStatus.INCONCLUSIVE,
)


@pytest.mark.parametrize(
    ("error", "against"),
    [
        (Lacking("x"), False),
        (ToolMissing("x"), False),
        (TargetUnreachable("x"), False),
        (ScratchError("x"), False),
        (ToolFailed("pg_restore was ended by SIGKILL: it said nothing"), False),
        (EngineError('extension "x" is not available'), False),
        (ToolFailed("pg_restore failed with status 1: end of file"), True),
        (ArtifactDamaged("x"), True),
        (SourceUnreadable("x"), True),
    ],
)
def test_a_failure_speaks_against_the_backup_or_tells_of_the_machine(error: HHHError, against: bool) -> None:
    findings = Findings()
    findings.note_failure(error, PROVER)
    assert findings.speak_against_content == against
    assert bool(findings.lacking) != against


def test_what_the_backup_had_no_part_in_never_speaks_against_it() -> None:
    findings = Findings()
    findings.note_failure(ToolFailed("initdb failed"), PROVER, of_the_machine=True)
    assert (findings.lacking, findings.errors) == (["initdb failed"], [])


def test_errors_beside_one_that_tells_of_the_machine_are_no_alarm() -> None:
    findings = Findings()
    findings.note_errors(['extension "x" is not available', 'type "public.x" does not exist'], PROVER)
    assert findings.errors == []
    assert len(findings.lacking) == 1
    assert findings.warnings == ['extension "x" is not available', 'type "public.x" does not exist']


def test_of_very_many_errors_the_first_are_told() -> None:
    findings = Findings()
    findings.note_errors([f"error {number}" for number in range(200)], PROVER)
    assert findings.errors[:2] == ["error 0", "error 1"]
    assert findings.errors[-1] == "and 150 more"


@pytest.mark.parametrize(
    ("findings", "copies", "level", "status"),
    [
        (Findings(), [GOOD], "stored", SUCCESS),
        (Findings(), [GOOD], "readable", INCONCLUSIVE),
        (Findings(reached="proven"), [GOOD], "proven", SUCCESS),
        (Findings(reached="proven"), [GOOD], "readable", SUCCESS),
        (Findings(reached="proven"), [GOOD, AWAY], "proven", INCONCLUSIVE),
        (Findings(reached="proven"), [GOOD, MISSING], "proven", FAILED),
        (Findings(reached="readable", lacking=["x"]), [GOOD], "proven", INCONCLUSIVE),
        (Findings(errors=["x"], lacking=["x"]), [GOOD], "proven", FAILED),
        (Findings(differences=[Difference(name="x", expected="1", found="2")]), [GOOD], "proven", FAILED),
        (Findings(assertions=[Asserted(sql="x", holds=False, found="0", seconds=0)]), [GOOD], "proven", FAILED),
    ],
)
def test_what_they_come_to(
    findings: Findings, copies: list[CheckedCopy], level: Level, status: VerificationStatus
) -> None:
    assert verdict(findings.result(copies), level)[0] == status


def test_a_store_out_of_reach_is_what_is_lacking() -> None:
    result = Findings(reached="proven").result([GOOD, AWAY])
    assert (result.reached, result.lacking) == (None, ["two: it does not answer"])
