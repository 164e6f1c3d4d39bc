"""The tables of the service's own database."""

from hhh.core.database import Base
from hhh.models.backup_log import BackupCopy, BackupLog, BackupStatus, BackupTotals
from hhh.models.installation import Installation
from hhh.models.job import Job, JobKind, JobState
from hhh.models.restore import Restore
from hhh.models.session import LoginFailure, RefreshToken, UserSession
from hhh.models.target import Target
from hhh.models.user import Role, User

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
    "LoginFailure",
    "RefreshToken",
    "Restore",
    "Role",
    "Target",
    "User",
    "UserSession",
]
