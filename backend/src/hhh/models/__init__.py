"""The tables of the service's own database."""

from hhh.core.database import Base
from hhh.models.alert import AlertChannel, AlertDelivery, AlertEvent, AlertKind, AlertWatch, LostWorker, Trouble
from hhh.models.audit import Action, AuditEvent, AuditHead, Result
from hhh.models.backup_log import BackupCopy, BackupLog, BackupStatus, BackupTotals, CopyStatus
from hhh.models.installation import Installation
from hhh.models.job import QUEUES, Job, JobKind, JobState, queue_of
from hhh.models.job_log import JobLog
from hhh.models.policy import Policy
from hhh.models.restore import Restore
from hhh.models.schedule import Schedule
from hhh.models.session import KnownPlace, LoginFailure, RecoveryCode, RefreshToken, UserSession
from hhh.models.store import Store
from hhh.models.target import Target
from hhh.models.token import ApiToken, Scope
from hhh.models.user import Role, User
from hhh.models.verification import Verification, VerificationStatus
from hhh.models.worker import WorkerRow, WorkerState

__all__ = [
    "QUEUES",
    "Action",
    "AlertChannel",
    "AlertDelivery",
    "AlertEvent",
    "AlertKind",
    "AlertWatch",
    "ApiToken",
    "AuditEvent",
    "AuditHead",
    "BackupCopy",
    "BackupLog",
    "BackupStatus",
    "BackupTotals",
    "Base",
    "CopyStatus",
    "Installation",
    "Job",
    "JobKind",
    "JobLog",
    "JobState",
    "KnownPlace",
    "LoginFailure",
    "LostWorker",
    "Policy",
    "RecoveryCode",
    "RefreshToken",
    "Restore",
    "Result",
    "Role",
    "Schedule",
    "Scope",
    "Store",
    "Target",
    "Trouble",
    "User",
    "UserSession",
    "Verification",
    "VerificationStatus",
    "WorkerRow",
    "WorkerState",
    "queue_of",
]
