"""All services of one process, put together once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import JobKind
from hhh.services import audit
from hhh.services.alerts import AlertService
from hhh.services.api_tokens import ApiTokens
from hhh.services.audit_log import AuditLog
from hhh.services.audit_names import AuditNames
from hhh.services.audit_noted import NotedEnds
from hhh.services.backup import BackupService
from hhh.services.cancelling import Cancelling
from hhh.services.catalogue import Catalogue
from hhh.services.contents import Contents
from hhh.services.copies import Copies
from hhh.services.deletion import Deletion
from hhh.services.downloads import Downloads
from hhh.services.following import Following
from hhh.services.history import HistoryService
from hhh.services.imports import Imports
from hhh.services.installation import Identity
from hhh.services.job_listing import JobListing
from hhh.services.job_logs import JobLogs
from hhh.services.metrics import MetricsService
from hhh.services.monitoring import MonitoringService
from hhh.services.own_database import OwnDatabase
from hhh.services.places import Places
from hhh.services.policies import PolicyService
from hhh.services.proof import Proof
from hhh.services.proof_report import ProofReports
from hhh.services.pruning import Pruning
from hhh.services.recoverability import RecoverabilityService
from hhh.services.recovery_commands import RecoveryCommandsService
from hhh.services.recovery_points import RecoveryPoints
from hhh.services.repair import Repair
from hhh.services.restore import RestoreService
from hhh.services.restore_orders import RestoreOrders
from hhh.services.restore_records import RestoreRecords
from hhh.services.restore_work import RestoreWork
from hhh.services.schedules import ScheduleService
from hhh.services.stores import StoreService
from hhh.services.sweep import Sweep
from hhh.services.targets import APP, TargetService
from hhh.services.verification import VerificationService
from hhh.services.verification_work import VerificationWork
from hhh.services.whereabouts import WhereaboutsService
from hhh.services.work import Work
from hhh.services.workers import WorkerService
from hhh.storages.registry import open_storage


@dataclass(frozen=True)
class Services:
    """What routes, commands and jobs call.

    What others are made of, or keeps something, is a field; the rest is made when it is asked for.
    """

    settings: Settings
    database: Database
    identity: Identity
    targets: TargetService
    stores: StoreService
    policies: PolicyService
    catalogue: Catalogue
    backups: BackupService
    schedules: ScheduleService
    restores: RestoreService
    restore_work: RestoreWork
    contents: Contents
    downloads: Downloads
    deletion: Deletion
    pruning: Pruning
    imports: Imports
    repair: Repair
    sweep: Sweep
    workers: WorkerService
    verifications: VerificationService
    verification_work: VerificationWork
    recoverability: RecoverabilityService
    proof_reports: ProofReports
    api_tokens: ApiTokens
    alerts: AlertService

    @property
    def audit_log(self) -> AuditLog:
        """Who reads the audit log."""
        return AuditLog(self.settings, self.database, self.identity)

    @property
    def audit_names(self) -> AuditNames:
        """Who knows what people call what events are about."""
        return AuditNames(self.database)

    @property
    def noted_ends(self) -> NotedEnds:
        """Who knows where the audit log ended, as backups of the own database noted it."""
        return NotedEnds(self.settings, self.database, self.identity)

    @property
    def cancelling(self) -> Cancelling:
        """Who cancels jobs."""
        return Cancelling(self.database, self.works)

    @property
    def following(self) -> Following:
        """Who looks at jobs for those that wait for them."""
        return Following(self.database, self.cancelling)

    @property
    def job_logs(self) -> JobLogs:
        """What jobs wrote to the log."""
        return JobLogs(self.database)

    @property
    def recovery_points(self) -> RecoveryPoints:
        """Which moments targets can be taken back to."""
        return RecoveryPoints(self.database)

    @property
    def whereabouts(self) -> WhereaboutsService:
        """Where targets are."""
        return WhereaboutsService(self.targets)

    @property
    def history(self) -> HistoryService:
        """Who knows what became of backups."""
        return HistoryService(self.database)

    @property
    def job_listing(self) -> JobListing:
        """Who lists jobs of every kind."""
        return JobListing(self.database, self.settings, self.cancelling)

    @property
    def recovery_commands(self) -> RecoveryCommandsService:
        """The commands that recover a backup by hand."""
        return RecoveryCommandsService(self.catalogue, self.stores)

    @property
    def metrics(self) -> MetricsService:
        """What monitoring measures."""
        return MetricsService(self.database, self.recoverability, self.workers)

    @property
    def monitoring(self) -> MonitoringService:
        """Who looks at all targets."""
        return MonitoringService(self.database, self.targets, self.recoverability)

    @property
    def works(self) -> Mapping[JobKind, Work]:
        """Who does which kind of job."""
        return {
            JobKind.BACKUP: self.backups,
            JobKind.RESTORE: self.restore_work,
            JobKind.PRUNE: self.pruning,
            JobKind.REPAIR: self.repair,
            JobKind.SWEEP: self.sweep,
            JobKind.VERIFY: self.verification_work,
        }


def assemble(settings: Settings, database: Database) -> Services:
    """Puts the services together; touches neither the database nor a store.

    Raises:
        ConfigurationError, InvalidInput: a setting can't be used.
    """
    identity = Identity(settings, database)
    audit.sign_with(database, identity)
    targets = TargetService(settings, database)
    stores = StoreService(settings, database, open_storage(settings.default_storage_url))
    policies = PolicyService(database)
    records = RestoreRecords(database, targets.find(APP).engine.kind)
    places = Places(settings, database, stores)
    orders = RestoreOrders(settings, database, identity, targets, stores, records, places)
    catalogue = Catalogue(database)
    own_database = OwnDatabase(settings, database, identity, stores)
    deletion = Deletion(database)
    pruning = Pruning(database, targets, stores, policies, deletion)
    copies = Copies(settings, identity, catalogue, stores)
    backups = BackupService(settings, database, identity, targets, stores, policies)
    verifications = VerificationService(database, catalogue)
    return Services(
        settings=settings,
        database=database,
        identity=identity,
        targets=targets,
        stores=stores,
        policies=policies,
        catalogue=catalogue,
        backups=backups,
        schedules=ScheduleService(database, targets, backups, verifications),
        restores=RestoreService(settings, database, orders, records),
        restore_work=RestoreWork(settings, database, targets, orders, places, own_database),
        contents=Contents(settings, copies),
        downloads=Downloads(database, copies),
        deletion=deletion,
        pruning=pruning,
        imports=Imports(settings, database, identity, stores, policies),
        repair=Repair(settings, database, identity, targets, stores, policies),
        sweep=Sweep(settings, database, identity, stores, pruning),
        workers=WorkerService(database),
        verifications=verifications,
        verification_work=VerificationWork(settings, database, targets, policies, Proof(copies)),
        recoverability=RecoverabilityService(settings, database, targets, policies),
        proof_reports=ProofReports(database, identity),
        api_tokens=ApiTokens(database),
        alerts=AlertService(settings, database, targets, stores, policies),
    )
