"""The recovery kit tells all that is needed, and no secret unless it is asked for."""

import re
import zipfile
from importlib import resources
from pathlib import Path

import pyrage
import pytest

from hhh.core.database import Database
from hhh.core.errors import ConfigurationError, InvalidInput
from hhh.schemas.policy import PolicyFields
from hhh.services.container import Services, assemble
from hhh.services.recovery_kit import page, public_keys, recovery_kit
from support.documentation import RECOVERY
from support.local_services import settings_in

PASSPHRASE = "six words that are not random"
SECRET = "a secret key that is long enough for the service"
STORE_SECRET = "store-secret-access-key"
OFFSITE_SECRET = "offsite-secret-access-key"


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def services(
    tmp_path: Path,
    sqlite_database: Database,
    identity: pyrage.x25519.Identity,
    monkeypatch: pytest.MonkeyPatch,
) -> Services:
    """Of an installation with one of everything that is secret."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.com")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "store-access-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", STORE_SECRET)
    (tmp_path / "age.key").write_text(f"# made for a test\n{identity}\n")
    settings = settings_in(
        tmp_path,
        secret_key=SECRET,
        storage_url="s3://company-backups/production",
        age_recipients=identity.to_public(),
        age_identity_file=tmp_path / "age.key",
        admin_password="the password of the admin",
    )
    services = assemble(settings, sqlite_database)
    options = {
        "access_key_id": "OFFSITE",
        "secret_access_key": OFFSITE_SECRET,
        "endpoint_url": "https://far.example.com",
    }
    services.stores.add("offsite", "s3://far-away/production", options)
    policy = PolicyFields(storages=["default", "offsite"])
    services.targets.add("shop", "postgresql://reader:s3cret@db.example.com/shop", policy)
    return services


def secrets(services: Services, identity: pyrage.x25519.Identity) -> list[str]:
    pem = services.settings.signing_key_path.read_text().splitlines()
    return [SECRET, STORE_SECRET, OFFSITE_SECRET, str(identity), "s3cret", "the password of the admin", pem[1]]


def test_it_tells_all_that_is_needed(services: Services, identity: pyrage.x25519.Identity) -> None:
    kit = recovery_kit(services)

    for needed in (
        services.identity.installation,
        services.identity.signing_key.public_key,
        str(identity.to_public()),
        "s3://company-backups/production",
        "https://s3.example.com",
        "`offsite`: `s3://far-away/production`, access_key_id `OFFSITE`, endpoint_url `https://far.example.com`",
        "; needs its secret_access_key, kept elsewhere",
        "`shop`, postgresql, in `default`, `offsite`",
        "`app`, sqlite",
        "hhh restore --from s3://company-backups/production --target NAME",
        f"--identity FILE \\\n  --trusted-key {services.identity.signing_key.public_key}",
    ):
        assert needed in kit
    assert kit.endswith(RECOVERY.read_text())


def test_it_has_no_secret_unless_asked_for_and_then_opened_by_the_passphrase_alone(
    services: Services, identity: pyrage.x25519.Identity
) -> None:
    plain, sealed = recovery_kit(services), recovery_kit(services, PASSPHRASE)

    for secret in secrets(services, identity):
        assert secret not in plain
        assert secret not in sealed
    assert "AGE ENCRYPTED FILE" not in plain
    assert PASSPHRASE not in sealed
    armored = re.search(r"^-----BEGIN AGE .*END AGE ENCRYPTED FILE-----$", sealed, re.MULTILINE | re.DOTALL)
    assert armored is not None
    opened = pyrage.passphrase.decrypt(armored[0].encode(), PASSPHRASE).decode()
    assert f"HHH_SECRET_KEY={SECRET}\n" in opened
    assert services.settings.signing_key_path.read_text() in opened
    assert f"{identity}\n" in opened
    assert STORE_SECRET not in opened
    with pytest.raises(pyrage.DecryptError):
        pyrage.passphrase.decrypt(armored[0].encode(), PASSPHRASE + ".")


def test_a_short_passphrase_is_refused(services: Services) -> None:
    with pytest.raises(InvalidInput, match="shorter than 16"):
        recovery_kit(services, "fifteen letters")


def test_what_is_not_encrypted_is_told(tmp_path: Path, sqlite_database: Database) -> None:
    assert "- Backups are not encrypted." in recovery_kit(assemble(settings_in(tmp_path), sqlite_database))


def test_public_keys_are_those_of_the_settings(services: Services, identity: pyrage.x25519.Identity) -> None:
    keys = public_keys(services)

    assert keys.signing_key == services.identity.signing_key.public_key
    assert keys.recipients == keys.identities == (str(identity.to_public()),)
    assert keys.trusted_keys == ()


def test_an_identity_file_that_is_not_there_is_told(tmp_path: Path, sqlite_database: Database) -> None:
    services = assemble(settings_in(tmp_path, age_identity_file=tmp_path / "gone.key"), sqlite_database)

    with pytest.raises(ConfigurationError, match=r"gone\.key"):
        recovery_kit(services, PASSPHRASE)


def test_the_page_of_the_package_is_that_of_the_documentation() -> None:
    assert page() == RECOVERY.read_text()
    packaged = Path(str(resources.files("hhh.services"))) / RECOVERY.name
    assert packaged.resolve() == RECOVERY, "it is a link, so that there is one text"


def test_the_page_is_in_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(RECOVERY.parents[1])

    wheel = tmp_path / builder.build_wheel(str(tmp_path))

    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"hhh/services/{RECOVERY.name}").decode() == RECOVERY.read_text()
