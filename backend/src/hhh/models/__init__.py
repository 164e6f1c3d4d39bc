"""The tables of the service's own database."""

from hhh.core.database import Base
from hhh.models.backup_log import BackupCopy, BackupLog, BackupStatus, BackupTotals
from hhh.models.installation import Installation
from hhh.models.job import Job, JobKind, JobState
from hhh.models.target import Target

__all__ = [
    "BackupCopy",
    "BackupLog",
    "BackupStatus",
    "BackupTotals",
    "Base",
    "Installation",
    "Job",
    "JobKind",
    "JobState",
    "Target",
]
