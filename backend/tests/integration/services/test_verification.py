"""Verifications: what they find, what is known afterwards, and what is done about it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import AlreadyEnded, InvalidInput, NotFound
from hhh.core.run import Progress
from hhh.jobs.heartbeat import Observer
from hhh.jobs.worker import Worker, working
from hhh.models import JobKind, JobState, Policy, VerificationStatus
from hhh.schemas.backup import BackupResource
from hhh.schemas.verification import Level, VerificationFilter, VerificationResource
from hhh.services.container import Services
from hhh.services.following import Look
from support.backing_up import scratch_leftovers
from support.local_services import services_with_a_target
from support.restoring import RestoreBench


class Bench:
    """Services whose target goes to two stores, and a worker that runs what is asked for at once."""

    def __init__(self, services: Services, worker: Worker, folder: Path) -> None:
        self.services = services
        self.worker = worker
        self.folders = {"default": services.settings.data_dir / "backups", "second": folder / "second"}

    def back_up(self) -> str:
        backup_id = self.worker.create(self.services.backups.request("source"))
        self.worker.execute(backup_id)
        return backup_id

    def ask(self, backup_id: str, level: Level = "stored") -> str:
        return self.worker.create(self.services.verifications.request(backup_id, level, requested_by="cli"))

    def verify(self, backup_id: str, level: Level = "stored", observer: Observer | None = None) -> VerificationResource:
        verification_id = self.ask(backup_id, level)
        self.worker.execute(verification_id, observer)
        return self.get(verification_id)

    def get(self, verification_id: str) -> VerificationResource:
        return self.services.verifications.get(verification_id)

    def backup(self, backup_id: str) -> BackupResource:
        return self.services.catalogue.get(backup_id)

    def level(self, backup_id: str) -> str | None:
        verified = self.backup(backup_id).verified
        return verified.level if verified else None

    def states(self, backup_id: str) -> dict[str, str]:
        return {copy.storage: copy.status for copy in self.backup(backup_id).copies}

    def look(self, verification_id: str) -> Look:
        return self.services.following.look(JobKind.VERIFY, verification_id)

    def object_in(self, store: str, backup_id: str) -> Path:
        [key] = [copy.key for copy in self.backup(backup_id).copies if copy.storage == store]
        return self.folders[store] / key

    def flip_a_byte(self, store: str, backup_id: str) -> None:
        path = self.object_in(store, backup_id)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def write(self, statement: str, **values: object) -> None:
        with self.services.database.transaction() as session:
            session.execute(text(statement), values)


@contextlib.contextmanager
def opened_bench(folder: Path, database: Database) -> Iterator[Bench]:
    services = services_with_a_target(folder, database)
    services.stores.add("second", (folder / "second").as_uri())
    with database.transaction() as session:
        session.merge(
            Policy(target="source", stores=["default", "second"], minimum_copies=1, retries=0, updated_at=utcnow())
        )
    with working(services) as worker:
        yield Bench(services, worker, folder)


@pytest.fixture
def bench(tmp_path: Path, own_database: Database) -> Iterator[Bench]:
    with opened_bench(tmp_path, own_database) as bench:
        yield bench


@pytest.fixture
def on_sqlite(tmp_path: Path, sqlite_database: Database) -> Iterator[Bench]:
    with opened_bench(tmp_path, sqlite_database) as bench:
        yield bench


def test_a_good_backup_is_told_as_stored_and_its_copies_as_read(bench: Bench) -> None:
    backup_id = bench.back_up()

    found = bench.verify(backup_id)

    assert (found.status, found.reached, found.error, found.error_code) == ("success", "stored", None, None)
    assert [(copy.storage, copy.status) for copy in found.copies] == [("default", "good"), ("second", "good")]
    verified = bench.backup(backup_id).verified
    assert verified is not None
    assert (verified.level, verified.at) == ("stored", found.finished_at)
    with bench.services.database.snapshot() as session:
        read = session.execute(text("SELECT count(*) FROM backup_copies WHERE read_at IS NOT NULL")).scalar_one()
    assert read == 2
    assert bench.look(found.id).news.status == "success"


def test_a_flipped_byte_on_one_of_two_stores_is_found_told_and_repaired_by_itself(bench: Bench) -> None:
    backup_id = bench.back_up()
    good = bench.object_in("second", backup_id).read_bytes()
    bench.flip_a_byte("second", backup_id)

    found = bench.verify(backup_id)

    assert (found.status, found.reached, found.error_code) == ("failed", None, "ERR_VERIFICATION_FAILED")
    assert found.error is not None
    assert found.error.startswith("second: ")
    assert {copy.storage: copy.status for copy in found.copies} == {"default": "good", "second": "damaged"}
    [marked] = [copy for copy in bench.backup(backup_id).copies if copy.status == "missing"]
    assert (marked.storage, marked.error) == ("second", f"The verification: {found.copies[1].problem}")
    assert bench.look(found.id).news.status == "failed"

    for job_id in bench.worker.create_due():
        bench.worker.execute(job_id)

    assert bench.states(backup_id) == {"default": "stored", "second": "stored"}
    assert bench.object_in("second", backup_id).read_bytes() == good
    assert bench.verify(backup_id).status == "success"


def test_what_was_proven_stays_so_while_a_good_copy_is_left_and_no_longer(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()
    bench.verify(backup_id)
    bench.write("UPDATE backup_log SET verified_level = 'proven'")
    bench.object_in("second", backup_id).unlink()

    assert bench.verify(backup_id).copies[1].status == "missing"
    assert bench.level(backup_id) == "proven"

    bench.flip_a_byte("default", backup_id)
    assert bench.verify(backup_id).status == "failed"
    assert bench.level(backup_id) is None
    assert bench.backup(backup_id).verified is None
    assert bench.states(backup_id) == {"default": "missing", "second": "missing"}


def test_a_lower_level_that_is_reached_takes_nothing_away(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()
    bench.verify(backup_id)
    bench.write("UPDATE backup_log SET verified_level = 'proven'")
    before = bench.backup(backup_id).verified

    assert bench.verify(backup_id).status == "success"

    assert bench.backup(backup_id).verified == before


def test_a_manifest_that_nobody_signed_speaks_against_the_backup(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()
    bench.verify(backup_id)
    bench.write("UPDATE backup_log SET manifest = replace(manifest, '\"attempt\": 1', '\"attempt\": 7')")

    found = bench.verify(backup_id)

    assert (found.status, found.error_code) == ("failed", "ERR_VERIFICATION_FAILED")
    assert found.errors == [found.error]
    assert bench.level(backup_id) is None


def test_copies_that_were_gone_with_their_disk_are_stored_again_once_they_were_read(on_sqlite: Bench) -> None:
    backup_id = on_sqlite.back_up()
    away = {folder: folder.with_name(f"{folder.name}.unmounted") for folder in on_sqlite.folders.values()}
    for folder, elsewhere in away.items():
        folder.rename(elsewhere)
        folder.mkdir()
    assert on_sqlite.verify(backup_id).status == "failed"
    assert on_sqlite.states(backup_id) == {"default": "missing", "second": "missing"}
    for folder, elsewhere in away.items():
        folder.rmdir()
        elsewhere.rename(folder)
    assert on_sqlite.verify(backup_id).status == "success"
    assert on_sqlite.states(backup_id) == {"default": "stored", "second": "stored"}
    assert on_sqlite.services.recoverability.of("source").last_backup_id == backup_id


def test_a_store_that_is_away_is_inconclusive_and_changes_nothing(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()
    bench.verify(backup_id)
    before = bench.backup(backup_id)
    bench.folders["second"].rename(bench.folders["second"].with_name("away"))

    found = bench.verify(backup_id)

    assert (found.status, found.error_code) == ("inconclusive", "ERR_VERIFICATION_INCONCLUSIVE")
    assert found.copies[1].status == "unreachable"
    assert bench.backup(backup_id) == before
    assert bench.look(found.id).news.status == "failed"


def test_a_backup_that_is_removed_meanwhile_is_not_called_bad(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()
    bench.object_in("default", backup_id).unlink()

    def remove(_progress: Progress) -> None:
        bench.write("UPDATE backup_log SET deleted_at = created_at")

    found = bench.verify(backup_id, observer=remove)

    assert (found.status, found.error) == ("inconclusive", "The backup was removed while it was verified")


def test_a_drill_server_that_is_no_longer_registered_is_named(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()
    bench.write("""UPDATE policies SET proof = '{"drill_target": "gone"}'""")

    found = bench.verify(backup_id, "proven")

    assert (found.status, found.error_code) == ("inconclusive", "ERR_VERIFICATION_INCONCLUSIVE")
    [said] = found.lacking
    assert said.startswith(
        "The backups of source are to be drilled on the server 'gone', which is no longer registered"
    )
    assert "hhh target set source --drill-server" in said
    assert bench.verify(backup_id, "readable").status == "success"


def test_any_number_of_one_backup_may_wait(bench: Bench) -> None:
    backup_id = bench.back_up()
    asked = [bench.ask(backup_id) for _ in range(2)]
    assert [bench.get(each).status for each in asked] == ["queued"] * 2

    for each in asked:
        bench.worker.execute(each)

    assert [bench.get(each).status for each in asked] == ["success"] * 2


def test_one_that_waits_is_cancelled_at_once_and_one_that_runs_by_its_worker(bench: Bench) -> None:
    backup_id = bench.back_up()
    waiting = bench.ask(backup_id)
    assert bench.services.following.cancel(JobKind.VERIFY, waiting) == JobState.CANCELLED
    assert (bench.get(waiting).status, bench.get(waiting).error) == ("cancelled", "The verification was cancelled")
    running = bench.ask(backup_id)

    def cancel(_progress: Progress) -> None:
        with contextlib.suppress(AlreadyEnded):
            bench.services.following.cancel(JobKind.VERIFY, running)
        bench.worker.end_all()  # as the heartbeat does as soon as it hears of it

    bench.worker.execute(running, cancel)

    assert (bench.get(running).status, bench.get(running).error) == ("cancelled", "The verification was cancelled")
    assert bench.level(backup_id) is None
    with pytest.raises(AlreadyEnded, match="The verification has ended already: it is cancelled"):
        bench.services.following.cancel(JobKind.VERIFY, running)


def test_one_whose_process_is_stopped_waits_for_the_next(bench: Bench) -> None:
    backup_id = bench.back_up()
    asked = bench.ask(backup_id)
    bench.worker.execute(asked, lambda _: bench.worker.end_all())
    assert (bench.get(asked).status, bench.get(asked).started_at) == ("queued", None)

    bench.worker.execute(asked)

    assert bench.get(asked).status == "success"


def test_one_whose_worker_is_killed_goes_on_elsewhere_or_says_nothing_against_the_backup(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()
    asked = bench.ask(backup_id, "proven")
    alone = RestoreBench(bench.services, bench.worker)
    alone.die(asked, "restore")
    alone.clear_up()
    assert (bench.get(asked).status, bench.get(asked).error) == (
        "inconclusive",
        "The process that ran the verification ended; start it again",
    )
    assert scratch_leftovers(bench.services.settings.scratch_dir) == []

    asked = bench.ask(backup_id, "proven")
    with working(bench.services, slots=1) as taker:
        alone.die(asked, "restore")
        RestoreBench(bench.services, taker).clear_up()
        assert bench.get(asked).status == "queued"
        taker.execute(asked)

    assert (bench.get(asked).status, bench.level(backup_id)) == ("success", "proven")


def test_one_that_lost_its_lease_records_nothing(bench: Bench) -> None:
    backup_id = bench.back_up()
    bench.flip_a_byte("second", backup_id)
    asked = bench.ask(backup_id)

    bench.worker.execute(asked, lambda _: bench.write("UPDATE jobs SET attempt = 7 WHERE kind = 'verify'"))

    found = bench.get(asked)
    assert (found.status, found.finished_at, found.copies) == ("running", None, [])
    assert bench.states(backup_id) == {"default": "stored", "second": "stored"}


def test_one_that_could_not_be_looked_at_says_nothing_against_the_backup(on_sqlite: Bench) -> None:
    bench, backup_id = on_sqlite, on_sqlite.back_up()

    def break_off(_progress: Progress) -> None:
        raise KeyboardInterrupt

    asked = bench.ask(backup_id)
    with pytest.raises(KeyboardInterrupt):
        bench.worker.execute(asked, break_off)

    assert (bench.get(asked).status, bench.get(asked).error) == ("inconclusive", "It was interrupted")
    assert bench.states(backup_id) == {"default": "stored", "second": "stored"}


def test_only_what_is_stored_can_be_verified(on_sqlite: Bench) -> None:
    bench = on_sqlite
    waiting = bench.worker.create(bench.services.backups.request("source"))
    with pytest.raises(InvalidInput, match="The backup is queued: there is nothing to verify"):
        bench.ask(waiting)
    with pytest.raises(NotFound, match="No backup has that id"):
        bench.ask("5f1f2f0e-0000-4000-8000-000000000000")
    with pytest.raises(NotFound, match="No verification has that id"):
        bench.get("no id")
    with pytest.raises(NotFound, match="see `hhh backup verifications`"):
        bench.look(waiting)


def test_pages_are_narrowed_and_go_on_where_the_last_one_ended(bench: Bench) -> None:
    backup_id = bench.back_up()
    found = [bench.verify(backup_id).id for _ in range(3)]
    page = bench.services.verifications.page
    first = page(VerificationFilter(), cursor=None, limit=2)
    second = page(VerificationFilter(), cursor=first.next_cursor, limit=2)

    assert [each.id for each in (*first.items, *second.items)] == found[::-1]
    assert second.next_cursor is None
    everything = VerificationFilter("source", backup_id, VerificationStatus.SUCCESS)
    assert len(page(everything, cursor=None, limit=9).items) == 3
    for nothing in (
        VerificationFilter(target="other"),
        VerificationFilter(target="no name"),
        VerificationFilter(backup_id=found[0]),
        VerificationFilter(backup_id="no id"),
        VerificationFilter(status=VerificationStatus.FAILED),
    ):
        assert page(nothing, cursor=None, limit=9).items == []
