"""Registered stores, on each kind of own database."""

import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, InUse, InvalidInput, NotFound, StorageUnavailable
from hhh.models import BackupTotals, CopyStatus, Store
from hhh.schemas.policy import PolicyFields
from hhh.services import store_options
from hhh.services.container import Services, assemble
from hhh.services.sealing import Sealing
from hhh.services.secret_rotation import rotate
from hhh.services.stores import StoreChange
from support.local_services import settings_in
from support.logs import Log, log
from support.s3 import S3Bucket
from support.stored_rows import stored_backup_row

__all__ = ["log"]

KEY = {"access_key_id": "key", "secret_access_key": "s3cret", "endpoint_url": "https://s3.example.com"}


@pytest.fixture
def services(tmp_path: Path, sqlite_database: Database) -> Services:
    return assemble(settings_in(tmp_path), sqlite_database)


@pytest.fixture
def services_on_each(tmp_path: Path, own_database: Database) -> Services:
    return assemble(settings_in(tmp_path), own_database)


def secret_of(services: Services, name: str) -> str | None:
    """What the store would sign with."""
    with services.database.snapshot() as session:
        row = session.query(Store).filter_by(name=name).one()
    return store_options.opened(Sealing(services.settings), row).get("secret_access_key")


def stored_backup(services: Services, *stores: str, missing_in: str | None = None, size: int = 10) -> str:
    """A backup that the catalogue has, with copies in these stores."""
    states = dict.fromkeys(stores, CopyStatus.STORED) | ({missing_in: CopyStatus.MISSING} if missing_in else {})
    return stored_backup_row(services.database, copies=states, size=size)


def totals(services: Services) -> tuple[int, int, int]:
    with services.database.snapshot() as session:
        row = session.query(BackupTotals).one()
        return (row.total, row.successful, row.stored_bytes)


def test_the_default_store_is_always_there_first_and_as_it_is(services: Services, tmp_path: Path) -> None:
    services.stores.add("aaa", f"file://{tmp_path}/aaa")

    assert [store.name for store in services.stores.list()] == ["default", "aaa"]
    assert [store.name for store in services.stores.all()] == ["default", "aaa"]
    assert services.stores.get("default").url == services.settings.default_storage_url
    for refused in (
        lambda: services.stores.update("default", StoreChange(url="file:///x")),
        lambda: services.stores.remove("default"),
    ):
        with pytest.raises(InvalidInput, match="HHH_STORAGE_URL"):
            refused()
    with pytest.raises(InvalidInput, match="exists already"):
        services.stores.add("default", f"file://{tmp_path}/x")


def test_secrets_are_kept_sealed_and_shown_to_nobody(services_on_each: Services) -> None:
    added = services_on_each.stores.add("remote", "s3://bucket/p", {**KEY, "session_token": "t0ken"})

    assert dict(added.options) == {"access_key_id": "key", "endpoint_url": "https://s3.example.com"}
    assert added.secrets == ["secret_access_key", "session_token"]
    assert services_on_each.stores.get("remote") == added
    with services_on_each.database.snapshot() as session:
        row = str(session.execute(text("SELECT * FROM stores")).all())
    for secret in ("s3cret", "t0ken"):
        assert secret not in row + repr(added) + repr(services_on_each.stores.find("remote"))
    assert secret_of(services_on_each, "remote") == "s3cret"


@pytest.mark.parametrize("name", ["", "Shop", "a b", "../x", "-x", "x" * 64, "é", "a/b", "a\n", "a\0", "\ud800"])
def test_odd_names_are_refused_and_not_found(services: Services, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name"):
        services.stores.add(name, "file:///x")
    for asked in (services.stores.find, services.stores.get, services.stores.remove, services.stores.test):
        with pytest.raises(NotFound):
            asked(name)


def test_a_store_that_is_registered_is_opened_once_until_it_changes(services: Services, tmp_path: Path) -> None:
    services.stores.add("other", f"file://{tmp_path}/one")
    first = services.stores.find("other")

    assert services.stores.find("other") is first
    assert services.stores.all()[1] is first
    services.stores.update("other", StoreChange(url=f"file://{tmp_path}/two"))

    assert services.stores.find("other").storage.address.endswith("/two")
    assert [store.name for store in services.stores.named(["other", "default"])] == ["other", "default"]
    assert [store.name for store in services.stores.named([])] == ["default"]
    services.stores.remove("other")
    assert [store.name for store in services.stores.all()] == ["default"]
    with pytest.raises(NotFound):
        services.stores.find("other")


def test_another_process_sees_what_one_has_changed(services_on_each: Services, tmp_path: Path) -> None:
    other = assemble(services_on_each.settings, services_on_each.database)
    services_on_each.stores.add("shared", f"file://{tmp_path}/one")
    assert other.stores.find("shared").storage.address.endswith("/one")

    services_on_each.stores.update("shared", StoreChange(url=f"file://{tmp_path}/two"))

    assert other.stores.find("shared").storage.address.endswith("/two")


def test_a_store_whose_credentials_are_lost_does_not_hide_the_others(
    services: Services, sqlite_database: Database, tmp_path: Path, log: Log
) -> None:
    services.stores.add("closed", "s3://bucket", KEY)
    services.stores.add("open", f"file://{tmp_path}/open")
    rekeyed = assemble(settings_in(tmp_path, secret_key="another " * 8), sqlite_database)
    rekeyed.stores.update("open", StoreChange(url=f"file://{tmp_path}/open2"))

    assert [store.name for store in rekeyed.stores.all()] == ["default", "open"]
    assert [store.name for store in rekeyed.stores.all()] == ["default", "open"]
    assert [line["store"] for line in log.lines("store_not_opened")] == ["closed"]
    with pytest.raises(ConfigurationError, match="HHH_SECRET_KEY"):
        rekeyed.stores.find("closed")
    assert "HHH_SECRET_KEY" in str(rekeyed.stores.get("closed").problem)
    tried = rekeyed.stores.test("closed")
    assert (tried.ok, tried.steps) == (False, [])
    rekeyed.stores.update("closed", StoreChange(options=KEY))
    assert rekeyed.stores.get("closed").problem is None


@pytest.mark.parametrize(
    ("change", "secret"),
    [
        (StoreChange(options={"region": "eu-1"}), "s3cret"),
        (StoreChange(url="s3://bucket/other"), "s3cret"),
        (StoreChange(options={"access_key_id": "key"}, whole=True), "s3cret"),
        (StoreChange(options={}, whole=True), "s3cret"),
        (StoreChange(options={"secret_access_key": "n3w"}), "n3w"),
        (StoreChange(options={"secret_access_key": "n3w", "access_key_id": "key2"}), "n3w"),
        (StoreChange(options=dict.fromkeys(KEY)), None),
    ],
)
def test_secrets_that_an_update_leaves_out_are_kept(
    services: Services, change: StoreChange, secret: str | None
) -> None:
    services.stores.add("remote", "s3://bucket/p", KEY)
    services.stores.update("remote", change)
    assert secret_of(services, "remote") == secret


@pytest.mark.parametrize(
    "change",
    [
        StoreChange(options={"endpoint_url": "https://evil.example.com"}),
        StoreChange(options={"endpoint_url": None}),
        StoreChange(options={"access_key_id": "another"}),
        StoreChange(url="az://bucket/p", options={"account_name": "acct"}),
    ],
)
def test_a_kept_secret_is_never_sent_to_another_server_or_account(services: Services, change: StoreChange) -> None:
    services.stores.add("remote", "s3://bucket/p", KEY)
    with pytest.raises(InvalidInput, match=r"missing|belong together"):
        services.stores.update("remote", change)
    assert secret_of(services, "remote") == "s3cret"


def test_new_secrets_without_an_endpoint_do_not_go_to_the_old_one(services: Services) -> None:
    services.stores.add("remote", "s3://bucket/p", {**KEY, "session_token": "old"})
    new = {"access_key_id": "key2", "secret_access_key": "n3w"}

    changed = services.stores.update("remote", StoreChange(options=new, whole=True))

    assert dict(changed.options) == {"access_key_id": "key2"}
    assert changed.secrets == ["secret_access_key"]


def test_two_names_for_one_place_are_refused(services: Services, tmp_path: Path) -> None:
    services.stores.add("remote", "s3://bucket/p", KEY)
    services.stores.add("beside", "s3://bucket/q", KEY)
    for name, url, options in (
        ("again", "s3://bucket/p/", {**KEY, "endpoint_url": "https://S3.example.com:443/"}),
        ("own", services.settings.default_storage_url + "/", {}),
    ):
        with pytest.raises(InvalidInput, match="same place"):
            services.stores.add(name, url, options)
    with pytest.raises(InvalidInput, match="'remote' is the same place"):
        services.stores.update("beside", StoreChange(url="s3://bucket/p"))


def test_of_two_at_once_for_one_place_one_is_registered(services_on_each: Services, tmp_path: Path) -> None:
    def add(number: int) -> bool:
        try:
            services_on_each.stores.add(f"store{number}", f"file://{tmp_path}/place")
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(6) as crowd:
        assert sum(crowd.map(add, range(6))) == 1
    assert len(services_on_each.stores.list()) == 2


def test_updates_at_once_do_not_take_back_each_others(services_on_each: Services) -> None:
    services_on_each.stores.add("remote", "s3://bucket/p", KEY)
    changes = [{"region": "eu-1"}, {"virtual_hosted_style_request": "true"}, {"secret_access_key": "n3w"}] * 2

    with ThreadPoolExecutor(6) as crowd:
        list(crowd.map(lambda options: services_on_each.stores.update("remote", StoreChange(options=options)), changes))

    assert dict(services_on_each.stores.get("remote").options) == {
        "access_key_id": "key",
        "endpoint_url": "https://s3.example.com",
        "region": "eu-1",
        "virtual_hosted_style_request": "true",
    }
    assert secret_of(services_on_each, "remote") == "n3w"


def test_a_store_that_a_policy_names_stays_until_that_is_changed(services_on_each: Services, tmp_path: Path) -> None:
    services_on_each.stores.add("other", f"file://{tmp_path}/other")
    services_on_each.targets.update("app", None, PolicyFields(storages=["other"]), whole=False)
    with pytest.raises(InUse, match="of these targets go: app"):
        services_on_each.stores.remove("other", "forget-backups")

    services_on_each.targets.update("app", None, PolicyFields(storages=[]), whole=False)
    services_on_each.stores.remove("other")


def test_a_store_with_copies_goes_only_when_it_is_said_what_becomes_of_them(
    services_on_each: Services, tmp_path: Path
) -> None:
    services_on_each.stores.add("other", f"file://{tmp_path}/other")
    both, here = stored_backup(services_on_each, "default", "other"), stored_backup(services_on_each, "other", size=7)
    stored_backup(services_on_each, "default", missing_in="other")
    with pytest.raises(InUse, match=r"3 backup.* 1 of them nowhere else"):
        services_on_each.stores.remove("other")
    with pytest.raises(InUse, match=r"1 backup.* nowhere else"):
        services_on_each.stores.remove("other", "forget")
    assert totals(services_on_each) == (3, 3, 27)

    gone = services_on_each.stores.remove("other", "forget-backups")

    assert (gone.copies_forgotten, gone.backups_forgotten) == (3, 1)
    assert [copy.storage for copy in services_on_each.catalogue.get(both).copies] == ["default"]
    with pytest.raises(NotFound):
        services_on_each.catalogue.get(here)
    assert totals(services_on_each) == (2, 2, 20)


def test_copies_that_are_elsewhere_as_well_are_forgotten(services: Services, tmp_path: Path) -> None:
    services.stores.add("other", f"file://{tmp_path}/other")
    stored_backup(services, "default", "other")
    assert services.stores.remove("other", "forget").copies_forgotten == 1
    assert totals(services) == (1, 1, 10)


def test_a_store_with_copies_is_another_place_only_when_they_were_moved(services: Services, tmp_path: Path) -> None:
    services.stores.add("other", f"file://{tmp_path}/one")
    stored_backup(services, "other")
    with pytest.raises(InUse, match="1 backup"):
        services.stores.update("other", StoreChange(url=f"file://{tmp_path}/two"))
    services.stores.update("other", StoreChange(url=f"file://{tmp_path}/./one/"))
    services.stores.update("other", StoreChange(url=f"file://{tmp_path}/two", objects_moved=True))


def test_a_folder_is_made_when_its_store_is_added_or_another_and_never_later(
    services: Services, tmp_path: Path
) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    services.stores.add("other", one.as_uri())
    assert services.stores.test("other").ok
    services.stores.update("other", StoreChange(url=two.as_uri()))
    assert (one.is_dir(), two.is_dir()) == (True, True)

    shutil.rmtree(two)
    services.stores.update("other", StoreChange(url=two.as_uri()))
    assert "two is gone: is its disk mounted?" in str(services.stores.test("other").error)
    with pytest.raises(StorageUnavailable, match="is its disk mounted"):
        services.stores.find("other").storage.create("a/b", b"1")
    assert not two.exists()

    services.stores.update("other", StoreChange(url=three.as_uri(), objects_moved=True))
    assert not services.stores.test("other").ok  # the objects are not where they were moved to
    assert not three.exists()


def test_a_store_is_tried_with_its_own_credentials(services: Services, s3: S3Bucket) -> None:
    own = {"access_key_id": s3.access_key_id, "secret_access_key": s3.secret_access_key, "endpoint_url": s3.endpoint}
    services.stores.add("remote", s3.url("p"), own)
    services.stores.add("wrong", f"s3://no-such-{s3.name}", own)

    good, bad, default = (services.stores.test(name) for name in ("remote", "wrong", "default"))

    assert (good.ok, good.error, len(good.steps)) == (True, None, 7)
    assert (bad.ok, [step.ok for step in bad.steps]) == (False, [False])
    assert "NoSuchBucket" in str(bad.error)
    assert default.ok
    assert s3.keys() == []


def test_nobody_who_changes_targets_stores_and_keys_at_once_is_in_the_others_way(
    tmp_path: Path, own_database: Database
) -> None:
    services = assemble(settings_in(tmp_path, secret_key="one-key-" * 8), own_database)
    services.stores.add("base", f"file://{tmp_path}/base")

    def turn(number: int) -> None:
        mine = assemble(settings_in(tmp_path, secret_key="one-key-" * 8), own_database)
        name = f"n{number}"
        both = PolicyFields(storages=["base", "default"])
        with contextlib.suppress(InUse, InvalidInput, ConfigurationError, NotFound):
            match number % 5:
                case 0:
                    mine.stores.add(name, f"file://{tmp_path}/{name}")
                    mine.stores.update(name, StoreChange(url=f"file://{tmp_path}/{name}x"))
                case 1:
                    mine.targets.add(name, "sqlite:////srv/x.db", both)
                    mine.targets.update(name, "sqlite:////srv/y.db", both, whole=True)
                case 2:
                    mine.targets.update("app", None, both, whole=False)
                case 3:
                    mine.stores.remove("base")
                case 4:
                    rotate(mine.settings, own_database, "two-key-" * 8)

    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(turn, range(40)))

    after = assemble(settings_in(tmp_path, secret_key="two-key-" * 8), own_database)
    assert all(target.problem is None for target in after.targets.list())
    assert all(store.problem is None for store in after.stores.list())
    names = {store.name for store in after.stores.list()}
    assert all(names.issuperset(policy.stores) for policy in after.policies.set_policies().values())
