"""What the doctor says about the service's own database."""

from pathlib import Path

from hhh.core.database import Database
from hhh.services.container import assemble
from hhh.services.doctor import examine
from hhh.services.doctor_findings import Finding
from support.local_services import settings_in
from support.session import current_session


def finding_about(database: Database, folder: Path) -> Finding:
    return next(iter(examine(assemble(settings_in(folder), database))))


def test_a_database_that_other_accounts_may_read_is_told(tmp_path: Path) -> None:
    folder = current_session().new_folder("own")
    database = Database(f"sqlite:///{folder}/own.db")
    assert finding_about(database, tmp_path).ok
    for mode in (0o640, 0o604):
        (folder / "own.db").chmod(mode)
        found = finding_about(database, tmp_path)
        assert (found.ok, f"chmod 600 {folder}/own.db*" in found.detail) == (False, True)


def test_a_database_in_a_folder_that_nobody_else_may_enter_is_well(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    database = Database(f"sqlite:///{tmp_path}/own.db")
    (tmp_path / "own.db").chmod(0o644)
    assert finding_about(database, tmp_path).ok


def test_what_it_shows_of_the_url_holds_no_password(tmp_path: Path) -> None:
    found = finding_about(Database("postgresql://ann:s3cret@db/hhh?sslpassword=s3cret"), tmp_path)
    assert found.detail.startswith("postgresql://ann:***@db/hhh")
    assert "s3cret" not in found.detail
