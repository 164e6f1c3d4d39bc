"""The keys that all machines of an installation share."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hhh.core.config import load_settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from hhh.services.installation import Identity

pytestmark = pytest.mark.postgres

SECRET, OTHER_SECRET = "one secret of more than 32 characters", "another secret of more than 32 chars"
Machine = Callable[..., Identity]


@pytest.fixture
def machine(tmp_path: Path, postgresql_database: Database) -> Machine:
    """A machine of the installation, by name: with a data folder of its own."""

    def join(name: str, *, secret: str = SECRET, many: bool = True) -> Identity:
        environment = {
            "HHH_DATA_DIR": str(tmp_path / name),
            "HHH_SECRET_KEY": secret,
            "HHH_DATABASE_URL": "postgresql://db.example/hhh",
            "HHH_JOBS_DATABASE_URL": "postgresql://db.example/jobs" if many else "",
        }
        return Identity(load_settings(environment, dotenv=tmp_path / "none.env"), postgresql_database)

    return join


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str, str], None]:
    """Copies the signing key of one machine to another."""

    def copy(one: str, other: str) -> None:
        shutil.copy(tmp_path / one / "signing.key", tmp_path / other / "signing.key")

    return copy


def test_the_first_machine_says_what_keys_are_and_one_with_the_same_may_join(
    machine: Machine, copied: Callable[[str, str], None]
) -> None:
    first = machine("first")
    first.refuse_other_keys()
    second = machine("second")
    copied("first", "second")
    second.refuse_other_keys()
    assert second.signing_key.public_key == first.signing_key.public_key


def test_a_machine_without_the_signing_key_is_told_which_file_to_copy_and_makes_none(
    machine: Machine, tmp_path: Path
) -> None:
    machine("first").refuse_other_keys()
    second = machine("second")
    for ask in (second.refuse_other_keys, lambda: second.signing_key):
        with pytest.raises(
            ConfigurationError, match=r"second/signing.key is missing.*copy to it the file `signing.key`"
        ):
            ask()
    assert not (tmp_path / "second/signing.key").exists()


def test_a_machine_with_another_signing_key_signs_nothing(machine: Machine) -> None:
    machine("second", many=False).agree()
    machine("first", many=False).agree()
    with pytest.raises(ConfigurationError, match="is not that of the other machines"):
        machine("second").refuse_other_keys()
    with pytest.raises(ConfigurationError, match="is not that of the other machines"):
        _ = machine("second").signing_key


def test_a_machine_with_another_secret_is_refused_and_does_not_say_either(
    machine: Machine, copied: Callable[[str, str], None]
) -> None:
    machine("first").refuse_other_keys()
    second = machine("second", secret=OTHER_SECRET)
    copied("first", "second")
    with pytest.raises(ConfigurationError, match="HHH_SECRET_KEY is not that of the other machines") as refused:
        second.refuse_other_keys()
    assert SECRET not in str(refused.value)
    assert OTHER_SECRET not in str(refused.value)


def test_lost_keys_are_agreed_upon_anew_by_one_machine_for_all(
    machine: Machine, copied: Callable[[str, str], None]
) -> None:
    machine("first").refuse_other_keys()
    found_again = machine("second", secret=OTHER_SECRET)
    found_again.agree()
    found_again.refuse_other_keys()
    with pytest.raises(ConfigurationError):
        machine("first").refuse_other_keys()
    copied("second", "first")
    machine("first", secret=OTHER_SECRET).refuse_other_keys()


def test_a_single_machine_that_lost_its_keys_just_makes_new_ones(machine: Machine, tmp_path: Path) -> None:
    alone = machine("alone", many=False)
    alone.agree()
    (tmp_path / "alone/signing.key").unlink()
    anew = machine("alone", many=False, secret=OTHER_SECRET)
    anew.agree()
    assert anew.signing_key.public_key != alone.signing_key.public_key
    machine("alone", secret=OTHER_SECRET).refuse_other_keys()
