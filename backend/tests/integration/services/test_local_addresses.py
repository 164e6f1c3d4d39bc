"""Where several people may register databases and stores, none of them leads the service back into its machine."""

from pathlib import Path

import pytest

from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.schemas.policy import PolicyFields
from hhh.services.container import Services, assemble
from hhh.services.stores import StoreChange
from support.local_services import settings_in

FORBIDDEN = "HHH_REFUSE_LOCAL_ADDRESSES"
KEY = {"access_key_id": "key", "secret_access_key": "s3cret"}
ELSEWHERE = "https://s3.example.com"
LOCAL_DATABASES = [
    "postgresql://u:p@localhost/shop",
    "postgresql://u:p@169.254.169.254/shop",
    "postgresql://u:p@db.example.com/shop?hostaddr=127.0.0.1",
    "postgresql://u:p@[::ffff:127.0.0.1]/shop",
    "postgresql://u:p@/shop?host=/run/postgresql",
]
LOCAL_SERVERS = ["http://127.0.0.1:9000", "http://169.254.169.254", "http://[::1]:9000", "http://0x7f.1"]


@pytest.fixture
def careful(tmp_path: Path, sqlite_database: Database) -> Services:
    return assemble(settings_in(tmp_path).model_copy(update={"refuse_local_addresses": True}), sqlite_database)


@pytest.fixture
def careless(tmp_path: Path, sqlite_database: Database) -> Services:
    """The same installation, before the setting was made."""
    return assemble(settings_in(tmp_path), sqlite_database)


@pytest.mark.parametrize("url", LOCAL_DATABASES)
def test_a_local_database_is_neither_registered_nor_tried(careful: Services, url: str) -> None:
    careful.targets.add("shop", "postgresql://u:p@10.0.0.5/shop")
    for attempt in (
        lambda: careful.targets.add("other", url),
        lambda: careful.targets.update("shop", url, PolicyFields(), whole=False),
        lambda: careful.targets.try_url("other", url),
    ):
        with pytest.raises(InvalidInput, match=FORBIDDEN):
            attempt()
    assert careful.targets.names() == ["app", "shop"]


@pytest.mark.parametrize("url", LOCAL_DATABASES)
def test_one_that_was_registered_before_is_listed_and_not_opened(
    careless: Services, careful: Services, url: str
) -> None:
    careless.targets.add("shop", url)
    assert "shop" in [each.name for each in careful.targets.list()]
    with pytest.raises(InvalidInput, match=FORBIDDEN):
        careful.targets.find("shop")
    tested = careful.targets.test("shop")
    assert not tested.ok
    assert FORBIDDEN in str(tested.error)


@pytest.mark.parametrize("server", LOCAL_SERVERS)
def test_a_store_at_a_local_server_is_neither_registered_nor_tried(careful: Services, server: str) -> None:
    options = {**KEY, "endpoint_url": server}
    careful.stores.add("s3", "s3://bucket/x", {**KEY, "endpoint_url": ELSEWHERE})
    for attempt in (
        lambda: careful.stores.add("other", "s3://bucket/y", options),
        lambda: careful.stores.try_new("other", "s3://bucket/y", options),
        lambda: careful.stores.update("s3", StoreChange(options=options)),
        lambda: careful.stores.try_change("s3", StoreChange(options=options)),
    ):
        with pytest.raises(InvalidInput, match=FORBIDDEN):
            attempt()


def test_a_store_that_was_registered_before_is_listed_and_not_opened(careless: Services, careful: Services) -> None:
    careless.stores.add("s3", "s3://bucket/x", {**KEY, "endpoint_url": LOCAL_SERVERS[0]})
    assert [each.name for each in careful.stores.list()] == ["default", "s3"]
    assert [each.name for each in careful.stores.all()] == ["default"]
    assert FORBIDDEN in str(careful.stores.test("s3").error)


def test_what_the_settings_name_and_what_needs_no_network_goes_on(careful: Services, tmp_path: Path) -> None:
    careful.targets.add("file", f"sqlite:///{tmp_path}/x.db")
    careful.stores.add("folder", f"file://{tmp_path}/folder")
    assert careful.targets.find("app").name == "app"
    assert careful.targets.find("file").name == "file"
    assert [each.name for each in careful.stores.all()] == ["default", "folder"]


def test_unless_the_setting_is_made_nothing_is_refused(careless: Services) -> None:
    for number, url in enumerate(LOCAL_DATABASES):
        careless.targets.add(f"shop-{number}", url)
        assert careless.targets.find(f"shop-{number}").url
