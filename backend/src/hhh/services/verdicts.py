"""What the verifications of a backup come to, of which a later one may say otherwise than an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hhh.models import VerificationStatus
from hhh.repositories.recoverability import Conclusion
from hhh.repositories.retention import PROVEN
from hhh.schemas.verification import reaches
from hhh.services.recovery_state import Verified


def against(found: Iterable[Conclusion], *, whole: bool) -> Verified | None:
    """The newest fault that no later verification of its level, or of a higher one, says otherwise of.

    Of what was refuted `hhh.repositories.retention.IS_REFUTED` says the same to the database. A bad copy is a fault as
    well here, until it was made again from a good one.

    Args:
        found: of one backup.
        whole: whether no store lacks its copy.
    """
    faults = [fault for fault in _with(found, VerificationStatus.FAILED) if fault.refuted or not whole]
    if not faults:  # as a rule
        return None
    passed = _with(found, VerificationStatus.SUCCESS)
    standing = [fault for fault in faults if not any(_outdates(each, fault) for each in passed)]
    return _newest(standing)


def inconclusive(found: Iterable[Conclusion]) -> Verified | None:
    """The newest that could not find out, if none of its level, or of a higher one, has found out since."""
    inconclusive = _with(found, VerificationStatus.INCONCLUSIVE)
    if not inconclusive:  # as a rule
        return None
    others = [*_with(found, VerificationStatus.SUCCESS), *_with(found, VerificationStatus.FAILED)]
    standing = [still for still in inconclusive if not any(_outdates(each, still) for each in others)]
    return _newest(standing)


def proof(found: Iterable[Conclusion]) -> Conclusion | None:
    """The newest restore of a backup that proved it."""
    return next((each for each in _with(found, VerificationStatus.SUCCESS) if each.level == PROVEN), None)


def _with(found: Iterable[Conclusion], status: VerificationStatus) -> list[Conclusion]:
    return [each for each in found if each.status == status]


def _outdates(one: Conclusion, other: Conclusion) -> bool:
    is_later = (one.created_at, one.id) > (other.created_at, other.id)
    return is_later and reaches(one.level, other.level)


def _newest(found: Sequence[Conclusion]) -> Verified | None:
    if not found:
        return None
    newest = max(found, key=lambda each: (each.created_at, each.id))
    return Verified(newest.level, newest.finished_at or newest.created_at, newest.error)
